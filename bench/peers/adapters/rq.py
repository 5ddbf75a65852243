"""RQ: its worker forks for each job.

``python -m bench.peers.adapters.rq`` is a worker that has imported the tasks before it forks, as
its page on performance advises.
"""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue, Worker

from bench.peers import work

TASKS = {"effect": work.effect, "nothing": work.nothing}
_queue = Queue(connection=Redis.from_url(os.environ["CELERY_BROKER_URL"]))


def call(task: str, label: int) -> None:
    """Enqueue one job."""
    _queue.enqueue(TASKS[task], label)


def call_many(task: str, labels: list[int]) -> None:
    """Enqueue many jobs by one pipeline."""
    _queue.enqueue_many([Queue.prepare_data(TASKS[task], (label,)) for label in labels])


if __name__ == "__main__":
    import django

    django.setup()
    Worker([_queue], connection=_queue.connection).work()
