"""Limits on what runs at once and how often, by key: of a customer, a task or a queue.

They hold over all workers. The row of a call has the key and the numbers; places.py lets it in
line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from celery.utils.time import rate

from . import conf

#: Characters of a key.
LONGEST_KEY = 200


class Place(NamedTuple):
    """What a row needs before a worker may take it; the columns of the table."""

    key: str
    at_once: int | None
    #: Begins in a second.
    rate: float | None
    in_order: bool


class Limit:
    """How many tasks with a key may run at once, and how many may begin in a time::

        @shared_task(limit=Limit(at_once=2, rate="100/m", key=lambda pk: f"customer:{pk}"))

    :param at_once: in all workers; a task that waits for its next try has no place.
    :param rate: begins in a time, as Celery writes it: ``"10/s"``, ``"100/m"``, ``"1000/h"``.
    :param key: what counts together: a text, or a function of the call's arguments. Without one,
        all calls of the task (or in the queue) do.
    :param in_order: one at a time, in the order of the calls; one that is to be tried again keeps
        its turn.
    """

    def __init__(
        self,
        at_once: int | None = None,
        rate: str | float | None = None,
        key: str | Callable[..., object] | None = None,
        *,
        in_order: bool = False,
    ) -> None:
        if in_order and at_once not in (None, 1):
            raise ValueError(
                f"Limit(at_once={at_once!r}, in_order=True): in order is one at a time"
            )
        if at_once is not None and (not isinstance(at_once, int) or not 1 <= at_once < 2**31):
            raise ValueError(f"Limit(at_once={at_once!r}): expected a number from 1 on")
        self.at_once = 1 if in_order else at_once
        self.rate = None if rate is None else _rate(rate)
        if self.at_once is None and self.rate is None:
            raise ValueError("Limit(): it limits nothing; name at_once=, rate= or in_order=True")
        self.key, self.in_order = key, in_order

    def place(self, name: str, args: Any, kwargs: Any) -> Place:
        """Return the place that a call needs.

        :param name: of what it limits, for one without a key.
        :raises ValueError: its key is no text that a column can hold.
        """
        key = self.key(*args, **kwargs) if callable(self.key) else self.key
        text = name if key is None else str(key)
        if not text or len(text) > LONGEST_KEY or "\0" in text:
            raise ValueError(
                f"{name}: the key {text[:40]!r}… of its limit must have 1 to {LONGEST_KEY} "
                "characters, and no NUL among them"
            )
        return Place(text, self.at_once, self.rate, self.in_order)


def _rate(value: str | float) -> float:
    try:
        found = float(rate(value))
    except (TypeError, ValueError, LookupError, AttributeError):
        found = 0.0
    # An interval of the database counts microseconds; after a day purge_seen() forgets a rate.
    if not 1 / 86_400 <= found <= 1e6:
        raise ValueError(
            f'Limit(rate={value!r}): expected such as "10/s", "100/m" or "1000/h", and one a day '
            "or more"
        )
    return found


#: Of a call that names a key where nothing else says how many.
ONE = Limit(at_once=1)


def of(task: Any, queue: str, options: dict[str, Any]) -> tuple[Limit, str] | None:
    """Take a call's key out of its options; return its limit, and the name of what it limits.

    One alone: the call's, else its task's, else its queue's.
    """
    key = options.pop("concurrency_key", None)
    limit: Limit | None = getattr(task, "limit", None)
    if isinstance(key, Place):  # of a retry, which keeps the one that it has
        limit = Limit(key.at_once, key.rate, key.key, in_order=key.in_order)
    elif key is not None:
        whole = limit or ONE
        limit = Limit(whole.at_once, whole.rate, str(key), in_order=whole.in_order)
    if limit is not None:
        return limit, f"task:{task.name}"[:LONGEST_KEY]
    by_queue: dict[str, Limit] = conf.get("LIMITS")
    return (by_queue[queue], f"queue:{queue}"[:LONGEST_KEY]) if queue in by_queue else None
