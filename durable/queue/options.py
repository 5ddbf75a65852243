"""What a call may ask for: each option of ``apply_async()`` is kept in the row or refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.utils.time import maybe_iso8601, maybe_make_aware
from django.utils import timezone
from kombu.common import Broadcast
from kombu.compression import encoders, get_encoder
from kombu.utils.json import dumps

#: Stored as they are and handed to ``send_task()`` when the row is sent.
KEPT = frozenset(
    {
        "priority", "headers", "shadow", "time_limit", "soft_time_limit", "ignore_result",
        "link", "link_error", "chain", "chord", "group_id", "group_index", "root_id", "parent_id",
        "retries", "replaced_task_nesting", "reply_to", "origin", "exchange", "routing_key",
        "compression", "delivery_mode", "stamped_headers", "immediate", "mandatory",
        "argsrepr", "kwargsrepr",
    }
)  # fmt: skip

#: Read here and not stored; ``producer`` is what a group hands to its members.
READ = frozenset(
    {"task_id", "countdown", "eta", "expires", "queue", "serializer", "add_to_parent",
     "route_name", "producer"}
)  # fmt: skip

WHY_NOT = {
    "connection": "the message is sent later, over a connection of its own",
    "publisher": "the message is sent later, by a producer of its own",
    "router": "the routes are CELERY_TASK_ROUTES",
    "retry": "sending is retried until it succeeds",
    "retry_policy": "sending is retried until it succeeds",
}


def refuse_unknown(task: str, options: dict[str, Any]) -> None:
    """Raise ``TypeError`` for an option that can't be kept, and say why."""
    known = KEPT | READ | set(options.get("stamped_headers") or ())
    for name in options:
        if name not in known:
            reason = WHY_NOT.get(name, "the outbox doesn't know it")
            raise TypeError(
                f"{task}: a task that is called on commit can't take {name}= ({reason}); "
                "see docs/delivery.md, or call it by apply_async()"
            )
    serializer = options.get("serializer")
    if serializer not in (None, "json"):
        raise TypeError(
            f"{task}: a task that is called on commit is stored as JSON and can't take "
            f"serializer={serializer!r}; pass what JSON can hold, or call it by apply_async()"
        )
    if compression := options.get("compression"):
        try:
            get_encoder(compression)
        except KeyError:
            raise TypeError(
                f"{task}: compression={compression!r} is not installed here; one of "
                f"{', '.join(sorted(encoders()))} is"
            ) from None
    for name in ("exchange", "routing_key"):
        if not isinstance(options.get(name), (str, type(None))):
            raise TypeError(f"{task}: {name}= must be a name, the row can't hold an object")


def queue_of(app: Any, task: str, routed: dict[str, Any]) -> str:
    """Take the queue out of what the router has found; return its name, as far as it is known.

    Of a call that names an exchange and a routing key, the router makes one for the default queue
    as well. The message goes to where they lead, and there the row must wait.

    :raises TypeError: it is one of those that every worker has.
    """
    queue = routed.pop("queue", None)
    place = (routed.get("exchange"), routed.get("routing_key"))
    if all(place):
        for known in app.amqp.queues.values():
            if (known.exchange.name, known.routing_key) == place:
                queue = known
                break
    if isinstance(queue, Broadcast):
        raise TypeError(
            f"{task}: a Broadcast queue hands a task to every worker, and a row is for one of "
            "them; call it by apply_async()"
        )
    return getattr(queue, "name", queue) or ""


def times_of(task: str, options: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return when the call is due and when it expires; a countdown wins over an eta, as in Celery.

    :raises TypeError, ValueError: that isn't a time; the message names the task and the option.
    """
    due = "countdown" if options.get("countdown") else "eta"
    found: list[datetime | None] = []
    for name in (due, "expires"):
        try:
            found.append(moment(options.get(name), name))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{task}: {name}={options[name]!r} is no time: {error}") from None
        except TypeError as error:
            raise TypeError(f"{task}: {error}") from None
    return found[0], found[1]


def moment(value: Any, what: str) -> datetime | None:
    """Return *value* (seconds from now, a time, or its ISO form) as an aware time, or ``None``.

    A naive time is in ``CELERY_TIMEZONE``, as everywhere in Celery.
    """
    if value is None or isinstance(value, datetime):
        pass
    elif isinstance(value, str):
        value = maybe_iso8601(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return timezone.now() + timedelta(seconds=value)
    else:
        raise TypeError(f"{what}={value!r}: expected seconds or a datetime")
    if value is None:
        return None
    from celery import current_app

    aware: datetime = maybe_make_aware(value, current_app.timezone)
    return aware


def as_json(task: str, args: Any, kwargs: Any, kept: dict[str, Any]) -> str:
    """Return the call as the row holds it.

    :raises TypeError: JSON can't hold it; the message names the task and which part.
    """
    try:
        return str(dumps([args, kwargs, kept]))
    except (TypeError, ValueError, RecursionError) as error:
        parts = {f"argument {number}": value for number, value in enumerate(args, 1)}
        parts |= {f"{name}=": value for name, value in {**kwargs, **kept}.items()}
        wrong = [name for name, value in parts.items() if not _fits_json(value)]
        raise TypeError(
            f"{task}: a task that is called on commit is stored as JSON, which can't hold "
            f"{', '.join(wrong) or 'its arguments'}: {error}. Pass an id, a text, a number, or a "
            "list or dict of these"
        ) from error


def _fits_json(value: Any) -> bool:
    try:
        dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


#: What a column of the row can hold, so that the caller hears of it and its transaction goes on.
LONGEST_TEXT, HIGHEST_PRIORITY = 255, 2**15 - 1


def refuse_unfit(values: dict[str, Any]) -> None:
    """Raise ``ValueError`` for what PostgreSQL would refuse, which breaks the caller's transaction.

    :param values: the columns of the row.
    """
    task = values["task"]
    for name in ("task_id", "task", "queue"):
        text = str(values[name])
        if len(text) > LONGEST_TEXT or "\0" in text:
            raise ValueError(
                f"{task}: {name}={text[:40]!r}… must have {LONGEST_TEXT} characters at most, and "
                "no NUL among them"
            )
    priority = values["priority"]
    whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not whole or abs(priority) > HIGHEST_PRIORITY:
        raise ValueError(f"{task}: priority={priority!r} must be a small whole number")
