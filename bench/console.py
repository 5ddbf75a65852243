"""How long the pages of those who run the project take, whatever the tables hold.

    python -m bench.console [ROWS] [ROUNDS] [--write]

Fills the queue and the journal with so many rows each (of 12 tasks in 3 queues, one in 200 failed),
then asks for each page of the console and of the admin, and for the gauges of /metrics, in this
process: Django's client, a real PostgreSQL as it comes. ``--write`` puts the table into
docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(temporary_folder())

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client

from bench import page
from durable.console import snapshot
from durable.journal import minutes
from durable.metrics import gauges

HEADERS = '{"request_id": "r", "id": "x", "retries": 0, "origin": "web", "argsrepr": "(1,)"}'
BODY = '[[1], {"order": 42}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'

FILL = (
    """INSERT INTO durable_journal (slot, priority, attempt, id, ended_at, called_at, due_at,
           started_at, redacted, task_id, task, queue, state, host, version, headers, body, result,
           error, place)
       SELECT (extract(epoch FROM at)::int8 / 86400 %% 32)::int2, 0, 1, n, at,
           at - interval '2 s', at - interval '2 s', at - interval '1 s', false,
           gen_random_uuid(), 'shop.tasks.task_' || n %% 12, (ARRAY['default', 'mail', 'reports'])
           [1 + n %% 3], CASE WHEN n %% 200 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END, 'worker-1', '1',
           %(headers)s, %(body)s, 'null',
           CASE WHEN n %% 200 = 0 THEN 'ValueError' END,
           CASE WHEN n %% 200 = 0 THEN 'shop/tasks.py:' || n %% 7 END
       FROM generate_series(1, %(rows)s) AS n,
           LATERAL (SELECT now() - (%(rows)s - n) * interval '0.2 s' AS at) AS time""",
    "SELECT setval(pg_get_serial_sequence('durable_task', 'id'), 2 * %(rows)s + 1000)",
    """INSERT INTO durable_task (task_id, task, queue, priority, headers, body, due_at, attempt,
           clean_attempt, history, error)
       SELECT gen_random_uuid(), 'shop.tasks.task_' || n %% 12,
           (ARRAY['default', 'mail', 'reports'])[1 + n %% 3], 0, %(headers)s, %(body)s,
           now() - interval '1 h' + n * interval '5 ms', 0, 0, '[]', ''
       FROM generate_series(1, %(rows)s) AS n""",
)


def fill(rows: int) -> None:
    """Fill both tables."""
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, {"rows": rows, "headers": HEADERS, "body": BODY})
        cursor.execute("SELECT brin_summarize_new_values(indexrelid) FROM pg_index JOIN pg_class"
                       " ON oid = indexrelid WHERE relname LIKE 'durable_journal%%_idx'"
                       " AND relam = (SELECT oid FROM pg_am WHERE amname = 'brin')")  # fmt: skip
        cursor.execute("VACUUM ANALYZE")
    minutes.fold()


def timed(ask: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return median and p95 of *ask* in milliseconds, after one that warms up."""
    ask()
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        ask()
        found.append(1000 * (time.perf_counter() - begin))
    return median(found), sorted(found)[int(0.95 * len(found))]


def main() -> None:
    """Fill, ask, print."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    rows, rounds = [*numbers, *(1_000_000, 30)[len(numbers) :]]
    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    fill(rows)
    snapshot.KEEP = 0.0  # else one answer serves a second
    client = Client()
    root = get_user_model().objects.create_superuser("root")
    client.force_login(root)
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_id FROM durable_journal WHERE id = %s", [rows // 2])
        (task_id,) = cursor.fetchone()
    paths = {
        "Now": "/ops/", "Tasks": "/ops/tasks/",
        "Tasks, a name that is frequent": "/ops/tasks/?q=task:task_7",
        "Tasks, a name that is nowhere": "/ops/tasks/?q=task:nowhere",
        "Tasks, an argument": "/ops/tasks/?q=arg:order=41",
        "Tasks, what has failed": "/ops/tasks/?q=state:failed",
        "Tasks, an id of Celery": f"/ops/tasks/?q=id:={task_id}",
        "Tasks, from the middle of the journal": f"/ops/tasks/?before={rows // 2}",
        "Task": f"/ops/tasks/{rows // 2}/", "Failures": "/ops/failures/",
        "Start again: how many": "/ops/confirm/retry/?q=state:failed",
        "Discard: how many": "/ops/confirm/discard/?q=task:task_7",
        "Queues": "/ops/queues/", "Workers": "/ops/workers/", "Schedules": "/ops/schedules/",
        "Names": "/ops/names/?hours=24", "Audit": "/ops/audit/",
        "Admin: tasks": "/admin/durable/task/",
        "Admin: tasks, found by name": "/admin/durable/task/?q=task_7",
        "Admin: workers": "/admin/durable/worker/",
    }  # fmt: skip
    table = []
    for name, path in paths.items():

        def ask(path: str = path) -> None:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.headers)

        table.append([name, *(f"{value:.0f}" for value in timed(ask, rounds))])
    table.append(["`/metrics`, the gauges", *(f"{v:.0f}" for v in timed(gauges.measure, rounds))])
    text = page.table(["page", "median, ms", "p95, ms"], table)
    print(text)
    note = (
        f"\n\n{rows:,} rows that wait and {rows:,} entries, {rounds} times each. {page.machine()}."
    )
    if "--write" in sys.argv:
        page.write("console", text + note)


if __name__ == "__main__":
    main()
