"""Facts that the invariants compare: Celery's settings, and what they come to for each task."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from celery import current_app

from durable.discovery import load_tasks

#: Transports that hand a message to another worker when it isn't acknowledged for as long (kombu's
#: default, seconds).
VISIBILITY_TIMEOUT = {"redis": 3600, "rediss": 3600, "sentinel": 3600, "sqs": 1800}


def conf() -> Any:
    """Return Celery's settings."""
    return current_app.conf


def tasks() -> dict[str, Any]:
    """Return every task that a worker of this project knows, by name."""
    load_tasks()
    found: dict[str, Any] = dict(current_app.tasks)
    return found


def transport() -> str:
    """Return the broker's transport: ``redis``, ``amqp``, …"""
    url = str(conf().broker_read_url or conf().broker_url or "")
    return url.partition("://")[0].partition("+")[0]


def transport_option(name: str, default: Any = None) -> Any:
    """Return an option of the broker's transport."""
    return (conf().broker_transport_options or {}).get(name, default)


def visibility_timeout() -> float | None:
    """Return after how many seconds a message goes to another worker; ``None`` if never."""
    if (default := VISIBILITY_TIMEOUT.get(transport())) is None:
        return None
    try:
        return float(transport_option("visibility_timeout", default))
    except (TypeError, ValueError):
        return 0.0


def duration(task: Any) -> float:
    """Return the seconds after which *task* is over, whatever it does; infinite without a limit.

    The pool starts the clock of the hard limit when the soft one is over (celery's asynpool.py,
    ``on_soft_timeout``), so a hard limit that is not above the soft one has no effect.
    """
    hard, soft = float(task.time_limit or 0), float(task.soft_time_limit or 0)
    return max(hard, soft) if hard else math.inf


def longest() -> tuple[float, str]:
    """Return the longest :func:`duration` of all tasks, and the name of that task."""
    return max((duration(task), name) for name, task in tasks().items())


def rounds() -> int:
    """Return how many tasks a message may wait for in a worker, itself included.

    A worker takes ``worker_prefetch_multiplier`` messages for each of its slots.
    """
    return max(1, int(conf().worker_prefetch_multiplier or 1))


def some(names: Iterable[str], most: int = 3) -> str:
    """Return *names* for a message: not all of very many."""
    listed = sorted(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
