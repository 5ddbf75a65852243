"""What became of the runs of periodic tasks, those that were missed included."""

# ruff: noqa: S608 - the parts of a statement are constants here; every value is a parameter

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from celery import states
from django.db import connections
from kombu.utils.json import dumps

from . import conf
from .entry import SLOT, version

#: Celery's header that names the periodic task, and an index over it (the migration has the same).
HEADER = "periodic_task_name"
_HAS_NAME = 'headers LIKE \'%%"periodic_task_name": "%%\''
_NAME = r"""substring(headers from '"periodic_task_name": "((?:[^"\\]|\\.)*)"')"""

MISSED = "missed: "
#: Runs of each that are shown.
LAST = 50


class Outcome(NamedTuple):
    """A run of a periodic task that has ended, or was missed."""

    state: str
    at: datetime
    id: int
    says: str


def outcomes(names: list[str]) -> dict[str, list[Outcome]]:
    """Return the last runs of each of these periodic tasks, the newest first."""
    written = {dumps(name)[1:-1]: name for name in names}
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            f"""SELECT name, last.* FROM unnest(%s::text[]) AS name, LATERAL (
                    SELECT state, ended_at, id, coalesce(result, '') FROM durable_journal
                    WHERE {_HAS_NAME} AND {_NAME} = name ORDER BY id DESC LIMIT {LAST}) AS last""",
            [list(written)],
        )
        found: dict[str, list[Outcome]] = {name: [] for name in names}
        for name, *outcome in cursor.fetchall():
            found[written[name]].append(Outcome(*outcome))
    return found


def missed(name: str, task: str, queue: str, due_at: datetime, why: str) -> None:
    """Leave an entry of a run that will not take place; call it in the transaction that skips it.

    :param why: the setting or the error that kept it.
    """
    if not conf.days():
        return
    with connections[conf.alias()].cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO durable_journal (slot, ended_at, id, task_id, task, queue, priority,
                    called_at, due_at, attempt, headers, redacted, state, result, host, version)
                VALUES ({SLOT}, statement_timestamp(),
                    nextval(pg_get_serial_sequence('durable_task', 'id')),
                    gen_random_uuid(), %(task)s, %(queue)s, 0, statement_timestamp(), %(due_at)s,
                    0, %(headers)s, false, %(state)s, %(why)s, 'beat', %(version)s)""",
            {
                "task": task, "queue": queue, "due_at": due_at, "state": states.REVOKED,
                "headers": dumps({HEADER: name, "celery_beat_task": True}),
                "why": (MISSED + why)[: conf.LONGEST_RESULT], "version": version(),
            },
        )  # fmt: skip
