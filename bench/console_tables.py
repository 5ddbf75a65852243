"""The two tables full of rows, for bench.console and for a test of the pages' bounds."""

from __future__ import annotations

from django.db import connection

from durable.journal import minutes

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


def fill(rows: int) -> str:
    """Fill both tables; return the id that Celery has for the task in the middle of the journal."""
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, {"rows": rows, "headers": HEADERS, "body": BODY})
        cursor.execute("SELECT brin_summarize_new_values(indexrelid) FROM pg_index JOIN pg_class"
                       " ON oid = indexrelid WHERE relname LIKE 'durable_journal%%_idx'"
                       " AND relam = (SELECT oid FROM pg_am WHERE amname = 'brin')")  # fmt: skip
        cursor.execute("VACUUM ANALYZE")
    for _ in range(2):  # as each minute does: the second adds up what the first has counted
        minutes.fold()
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_id FROM durable_journal WHERE id = %s", [rows // 2])
        return str(cursor.fetchone()[0])


def empty() -> None:
    """Empty both tables."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE durable_journal, durable_task, durable_minute")


#: The pages: those of the console, and those of the admin that show the same tables.
PATHS = {
    "Now": "/ops/", "Tasks": "/ops/tasks/",
    "Tasks, a name that is frequent": "/ops/tasks/?q=task:task_7",
    "Tasks, a name that is nowhere": "/ops/tasks/?q=task:nowhere",
    "Tasks, an argument": "/ops/tasks/?q=arg:order=41",
    "Tasks, what has failed": "/ops/tasks/?q=state:failed",
    "Tasks, an id of Celery": "/ops/tasks/?q=id:={task_id}",
    "Tasks, from the middle of the journal": "/ops/tasks/?before={middle}",
    "Task": "/ops/tasks/{middle}/", "Failures": "/ops/failures/",
    "Start again: how many": "/ops/confirm/retry/?q=state:failed",
    "Start again, a name that is nowhere: how many": "/ops/confirm/retry/?q=task:nowhere",
    "Discard: how many": "/ops/confirm/discard/?q=task:task_7",
    "Discard, what has failed: how many": "/ops/confirm/discard/?q=state:failed",
    "Discard, a name that is nowhere: how many": "/ops/confirm/discard/?q=task:nowhere",
    "Queues": "/ops/queues/", "Workers": "/ops/workers/", "Schedules": "/ops/schedules/",
    "Names": "/ops/names/?hours=24", "Audit": "/ops/audit/",
    "Admin: tasks": "/admin/durable/task/",
    "Admin: tasks that are scheduled": "/admin/durable/task/?state=scheduled",
    "Admin: workers": "/admin/durable/worker/",
}  # fmt: skip
