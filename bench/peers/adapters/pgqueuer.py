"""PgQueuer: asyncpg, one connection for the queue and a pool for its jobs.

``python -m bench.peers.adapters.pgqueuer BATCH`` is a worker, with the event loop that ``pgq run``
uses. That command itself ends with an AttributeError beside the newest typer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.work import INSERT, NOT_MARKED

_loop = asyncio.new_event_loop()
_queries: list[Queries] = []


@asynccontextmanager
async def worker() -> AsyncIterator[PgQueuer]:
    """Set up the queue with its two jobs."""
    url = os.environ["DATABASE_URL"]
    connection = await asyncpg.connect(url)
    async with asyncpg.create_pool(url, min_size=2, max_size=10) as pool:
        queue = PgQueuer.from_asyncpg_connection(connection)

        @queue.entrypoint("effect")
        async def effect(job: Job) -> None:
            await pool.execute(INSERT.format("$1"), int(job.payload or b""))

        @queue.entrypoint("nothing")
        async def nothing(job: Job) -> None:
            label = int(job.payload or b"")
            if label != NOT_MARKED:
                await pool.execute(INSERT.format("$1"), label)

        yield queue
    await connection.close()


async def run(batch: int) -> None:
    """Take *batch* jobs at a time until SIGTERM."""
    async with worker() as queue:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
        await queue.run(batch_size=batch)


def _connected() -> Queries:
    if not _queries:
        connection = _loop.run_until_complete(asyncpg.connect(os.environ["DATABASE_URL"]))
        _queries.append(Queries(AsyncpgDriver(connection)))
    return _queries[0]


def prepare() -> None:
    """Create its tables."""
    _loop.run_until_complete(_connected().install())


def call(task: str, label: int) -> None:
    """Enqueue one job."""
    _loop.run_until_complete(_connected().enqueue(task, str(label).encode()))


def call_many(task: str, labels: list[int]) -> None:
    """Enqueue many jobs by one statement."""
    many = len(labels)
    payloads: list[bytes | None] = [str(label).encode() for label in labels]
    _loop.run_until_complete(_connected().enqueue([task] * many, payloads, [0] * many))


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1])))
