"""Counting: what was enqueued against what was executed, by the two tables."""

# ruff: noqa: S608 - psql takes no parameters; what stands in the queries is the suite's own

from __future__ import annotations

from dataclasses import dataclass, field

from .load import Answers
from .probe.mode import AT_ONCE
from .target import Target

#: Kinds that must not have an effect, and must be seen by a person instead.
HOPELESS = ("poison", "glutton", "endless", "cancelled")
_HOPELESS = ", ".join(f"'{kind}'" for kind in HOPELESS)


@dataclass
class Count:
    """The state of one fault's operations."""

    enqueued: int = 0
    executed: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    #: Failed, cancelled or in quarantine, and seen as that.
    ended: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is missing."""
        return not self.lost


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def progress(stack: Target, label: str) -> tuple[int, int]:
    """Return how many operations were enqueued and how many of them have had an effect."""
    ((enqueued, executed),) = stack.sql(
        "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT 1 FROM chaos_effect e"
        " WHERE e.operation = o.operation)) FROM chaos_operation o"
        f" WHERE label = {_quote(label)} AND kind NOT IN ({_HOPELESS})"
    )
    return int(enqueued), int(executed)


def count(stack: Target, label: str, answers: Answers | None = None) -> Count:
    """Count the operations of *label*; with what the visitors were told, those as well."""
    found = Count()
    operations: set[str] = set()
    for operation, kind, effects in stack.sql(
        "SELECT o.operation, o.kind, (SELECT count(*) FROM chaos_effect e"
        " WHERE e.operation = o.operation)"
        f" FROM chaos_operation o WHERE label = {_quote(label)}"
    ):
        times = int(effects)
        operations.add(operation)
        found.executed += times
        if kind in HOPELESS:
            if times:
                found.doubled.append(f"{operation}: an effect of what can't have one")
            elif is_seen(stack, operation):
                found.ended += 1
            else:
                found.lost.append(f"{operation} ({kind}: neither failed nor in quarantine)")
            continue
        if not times:
            found.lost.append(f"{operation} ({kind})")
        found.doubled += [f"{operation} ({kind})"] * (times - 1)
    found.enqueued = len(operations)
    for operation in sorted((answers.accepted if answers else set()) - operations):
        found.lost.append(f"{operation} (accepted, and not in the database)")
    # Of a transaction that was rolled back nothing may run.
    for (operation,) in stack.sql(
        "SELECT operation FROM chaos_effect e WHERE NOT EXISTS (SELECT 1 FROM chaos_operation o"
        f" WHERE o.operation = e.operation) AND operation LIKE {_quote(label + '/%')}"
    ):
        found.executed += 1
        found.doubled.append(f"{operation} (it was rolled back)")
    return found


def over_limit(stack: Target, label: str) -> list[str]:
    """Return the operations that ran while as many others of their key did as may."""
    return [
        f"{operation} ran beside {int(others) - 1} others with its key"
        for operation, others in stack.sql(
            "SELECT one.operation, count(*) FROM chaos_span one JOIN chaos_span other"
            " ON other.key = one.key AND other.began <= one.began AND one.began < other.ended"
            f" WHERE one.operation LIKE {_quote(label + '/%')}"
            f" GROUP BY 1 HAVING count(*) > {AT_ONCE}"
        )
    ]


def without_result(stack: Target, label: str) -> int:
    """Return how many operations had their effect, and no result says that they succeeded."""
    ((missing,),) = stack.sql(
        "WITH stored AS (SELECT substring(task_args FROM '[a-z0-9-]+/[0-9]{6}(?:-2)?') AS operation"
        " FROM django_celery_results_taskresult WHERE status = 'SUCCESS')"
        " SELECT count(DISTINCT operation) FROM chaos_operation JOIN chaos_effect USING (operation)"
        f" WHERE label = {_quote(label)} AND kind <> 'unique' AND operation NOT IN"
        " (SELECT operation FROM stored WHERE operation IS NOT NULL)"
    )
    return int(missing)


def is_seen(stack: Target, operation: str) -> bool:
    """Return whether a person sees what became of an operation that can't succeed."""
    pattern = _quote(f"%{operation}%")
    ((failed,),) = stack.sql(
        "SELECT count(*) FROM django_celery_results_taskresult"
        f" WHERE status IN ('FAILURE', 'REVOKED') AND task_args LIKE {pattern}"
    )
    if int(failed):
        return True
    if not has_rows(stack):
        return False
    ((waiting,),) = stack.sql(
        "SELECT count(*) FROM durable_task WHERE quarantined_at IS NOT NULL"
        f" AND body LIKE {pattern}"
    )
    return bool(int(waiting))


def has_rows(stack: Target) -> bool:
    """Return whether the stack's tasks are rows."""
    return stack.sql("SELECT to_regclass('durable_task') IS NOT NULL") == [["t"]]


def waiting(stack: Target) -> int:
    """Return how many tasks are under way: in PostgreSQL, or in Redis."""
    keys = ("default", "mail", "reports")
    found = sum(int(stack.redis("LLEN", key)) for key in keys)
    found += int(stack.redis("HLEN", "unacked"))
    if has_rows(stack):
        ((rows,),) = stack.sql("SELECT count(*) FROM durable_task WHERE quarantined_at IS NULL")
        found += int(rows)
    return found


def missing_ticks(stack: Target) -> int:
    """Return how many ticks beat has counted as sent that were not executed, since the start.

    Upstream's scheduler writes its count every three minutes, so this says nothing of it.
    """
    ((missing,),) = stack.sql(
        "SELECT (SELECT sum(total_run_count) FROM django_celery_beat_periodictask"
        " WHERE name LIKE 'chaos-%') - (SELECT count(*) FROM chaos_tick)"
    )
    return int(missing)


def doubled_ticks(stack: Target, since: float) -> list[str]:
    """Return the ticks of beat that came less than half an interval after the one before.

    :param since: the database's time in seconds; earlier ticks belong to another fault.
    """
    return [
        f"tick of every {every} s, {float(gap):.2f} s after the one before"
        for every, gap in stack.sql(
            "SELECT every, gap FROM (SELECT every, sent_at, extract(epoch FROM sent_at - lag("
            "sent_at) OVER (PARTITION BY every ORDER BY sent_at)) AS gap FROM chaos_tick) AS ticks"
            f" WHERE gap < every / 2.0 AND sent_at > to_timestamp({since})"
        )
    ]
