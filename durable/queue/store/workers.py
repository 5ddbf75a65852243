"""Workers: their signs of life, and what people want of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from durable.journal import entry

from .. import conf
from .parts import run


class Orders(NamedTuple):
    """What people want of a worker, since it began."""

    #: Who wants it to stop; empty: none does.
    stop: str
    #: Rows whose tasks were cancelled while it ran them.
    cancelled: list[int]


def beat(
    worker: str,
    hostname: str,
    pid: int,
    slots: int,
    queues: Iterable[str] = (),
    tasks: Iterable[str] = (),
) -> Orders:
    """Write a worker's sign of life; return what is wanted of it.

    :param queues: those that it takes from.
    :param tasks: those that it knows, as long as it lives.
    """
    [row] = run(
        """INSERT INTO durable_worker (id, hostname, pid, slots, queues, memory, version, tasks,
               cancelled)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s::text[], '{}')
           ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), slots = excluded.slots,
               queues = excluded.queues, memory = excluded.memory
           RETURNING stop_by, cancelled""",
        [worker, hostname, pid, slots, ",".join(sorted(queues)), resident_memory(),
         entry.version(), list(tasks)],
    )  # fmt: skip
    return Orders(*row)


def order_stop(worker: str, who: str) -> bool:
    """Want a worker to stop; return whether it is there, and was not told before."""
    sql = "UPDATE durable_worker SET stop_by = %s WHERE id = %s AND stop_by = '' RETURNING id"
    return bool(run(sql, [who, worker]))


def order_end(row_id: int, worker: str) -> None:
    """Want a worker to end the process that runs a row; *worker* as it stands in the row."""
    run(
        """UPDATE durable_worker SET cancelled = cancelled || %s::bigint
           WHERE id = split_part(%s, '#', 1)""",
        [row_id, worker],
    )


def sign_off(worker: str) -> None:
    """Forget a worker that stops."""
    run("DELETE FROM durable_worker WHERE id = %s", [worker])


def of_worker(worker: str) -> list[tuple[int, int]]:
    """Return id and attempt of each row that *worker* holds or runs."""
    rows = run("SELECT id, attempt FROM durable_task WHERE worker = %s", [worker])
    return [(row[0], row[1]) for row in rows]


def forget_dead_workers() -> None:
    """Delete the workers that have given no sign of life for ``DEAD_AFTER`` seconds."""
    run(
        "DELETE FROM durable_worker WHERE seen_at < clock_timestamp() - %s * interval '1 s'",
        [conf.get("DEAD_AFTER")],
    )


#: For ``release()``: rows of workers that are not there. A process of a batch worker stands in them
#: as the worker, `#` and its number.
ORPHANED = """NOT EXISTS (
        SELECT 1 FROM durable_worker w WHERE w.id = split_part(durable_task.worker, '#', 1))
    AND coalesce(started_at, '-infinity') < clock_timestamp() - %(age)s * interval '1 s'"""


#: Of a worker, with ``DEAD_AFTER``: its last sign of life is recent.
ALIVE = "seen_at > clock_timestamp() - %s * interval '1 s'"

#: KiB of a page of memory.
_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


def resident_memory() -> int:
    """Return the KiB that are in memory now; what several share counts for each; 0: not known."""
    total = 0
    for pid in ("self", *_children()):
        with suppress(OSError, ValueError, IndexError):  # it has ended, or there is no /proc
            total += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    return total


def _children() -> list[str]:
    found: list[str] = []
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                found += (thread / "children").read_text("ascii").split()
    return found
