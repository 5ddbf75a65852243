"""No page counts, sorts or searches a whole table: each reads some thousand rows, of however many.

``bench.console`` says how long they take with a million.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from bench.console_tables import PATHS, empty, fill
from durable.console import conf, groups, snapshot
from durable.database import admin
from durable.metrics import gauges
from durable.queue import overview
from tests.fixtures_worker import PATIENCE

ROWS, MOST = 30_000, 8_000

#: Of both tables: what sequential scans and indexes have read so far.
READ = """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
    FROM pg_stat_user_tables WHERE relname LIKE 'durable_journal%' OR relname = 'durable_task'"""


def rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(READ)
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_no_page_reads_more_than_a_part_of_the_tables(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (
        (conf, "SCAN"), (overview, "CAP"), (groups, "MOST"), (admin, "CAP")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 500)
    monkeypatch.setattr(snapshot, "KEEP", 0.0)
    for module in (snapshot, gauges):
        monkeypatch.setattr(module, "STATEMENT_TIMEOUT", PATIENCE * 1000)
    task_id = fill(ROWS)
    found = {}
    try:
        for name, path in PATHS.items():
            before = rows_read()
            answer = admin_client.get(path.format(middle=ROWS // 2, task_id=task_id))
            assert answer.status_code == 200, path
            found[name] = rows_read() - before
        before = rows_read()
        gauges.measure()
        found["gauges"] = rows_read() - before
    finally:
        empty()
    assert {name: read for name, read in found.items() if read > MOST} == {}
