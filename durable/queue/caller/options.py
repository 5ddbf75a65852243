"""Options of a call: each of ``apply_async()`` is kept in the row or refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.utils.time import maybe_iso8601, maybe_make_aware
from django.utils import timezone
from kombu.common import Broadcast
from kombu.utils.json import dumps

from .. import conf

#: Handed to Celery, which makes the message's headers and body of them.
MESSAGE = frozenset(
    {
        "time_limit", "soft_time_limit", "ignore_result", "chain", "chord", "group_id",
        "group_index", "root_id", "parent_id", "retries", "replaced_task_nesting", "reply_to",
        "origin", "stamped_headers", "argsrepr", "kwargsrepr", "shadow",
    }
)  # fmt: skip

#: Read here; the columns or the message say what they asked for.
READ = frozenset(
    {"task_id", "countdown", "eta", "expires", "queue", "priority", "serializer", "link",
     "link_error", "headers", "add_to_parent", "route_name", "exchange", "routing_key",
     "concurrency_key"}
)  # fmt: skip

#: About the message on its way through a broker: a row takes no such way.
SENDING = frozenset(
    {"producer", "publisher", "connection", "retry", "retry_policy", "compression",
     "delivery_mode", "immediate", "mandatory", "expiration", "timestamp", "type", "user_id",
     "app_id", "cluster_id", "message_id", "content_type", "content_encoding", "exchange_type",
     "declare", "timeout", "confirm_timeout"}
)  # fmt: skip


#: Of these, what a task finds in ``self.request.properties``.
PROPERTIES = ("app_id", "cluster_id", "message_id", "timestamp", "type", "user_id")


def refuse_unknown(task: str, options: dict[str, Any]) -> None:
    """Refuse an option that can't be kept.

    :raises TypeError: it says which, and why.
    """
    known = MESSAGE | READ | SENDING | set(options.get("stamped_headers") or ())
    for name in options:
        if name not in known:
            why = (
                "the routes are CELERY_TASK_ROUTES" if name == "router" else "unknown to the queue"
            )
            raise TypeError(
                f"{task}: a durable task can't take {name}= ({why}); see docs/celery.md, or send "
                "it plainly: `with plain(): task.apply_async(…)`"
            )
    serializer = options.get("serializer")
    if serializer not in (None, "json"):
        raise TypeError(
            f"{task}: a durable task is stored as JSON and can't take serializer={serializer!r}; "
            "pass what JSON can hold, or send it plainly: `with plain(): task.apply_async(…)`"
        )
    soft, hard = options.get("soft_time_limit"), options.get("time_limit")
    if soft and hard and soft > hard:
        raise ValueError(
            f"{task}: soft_time_limit must be less than or equal to time_limit: {soft} > {hard}"
        )


def queue_of(app: Any, task: str, routed: dict[str, Any]) -> str:
    """Take the route out of what the router has found; return the name of the queue.

    Of a call that names an exchange or a routing key, the router makes one for the default queue
    as well: the queue that is bound there counts.

    :raises TypeError: no queue is, or it is one of those that every worker has.
    """
    queue = routed.pop("queue", None) or app.conf.task_default_queue
    exchange, key = routed.pop("exchange", None), routed.pop("routing_key", None)
    if exchange or key:
        name, known = getattr(queue, "name", queue), list(app.amqp.queues.values())
        own = next((_binding(one) for one in known if one.name == name), ("", name))
        asked = (getattr(exchange, "name", exchange) or own[0], key or own[1])
        bound = [one for one in known if _binding(one) == asked]
        if bound and asked != own:
            queue = bound[0]
        elif exchange and asked != own:  # a key alone may be one of a pattern of the queue's own
            raise TypeError(
                f"{task}: no queue of CELERY_TASK_QUEUES is bound to exchange={asked[0]!r} with "
                f"routing_key={asked[1]!r}, and a row stands in a queue; name it by queue="
            )
    if isinstance(queue, Broadcast):
        raise TypeError(
            f"{task}: a Broadcast queue hands a task to every worker, and a row is for one of "
            "them; send it plainly: `with plain(): task.apply_async(…)`"
        )
    return str(getattr(queue, "name", queue))


def _binding(queue: Any) -> tuple[str, str]:
    return queue.exchange.name, queue.routing_key


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


def as_json(task: str, parts: dict[str, Any], value: Any) -> str:
    """Return *value* as the row holds it.

    :param parts: what a person knows it by, to name the one that doesn't fit.
    :raises TypeError: JSON can't hold it; the message names the task and which part.
    """
    try:
        return str(dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        wrong = [name for name, part in parts.items() if not _fits_json(part)]
        raise TypeError(
            f"{task}: a durable task is stored as JSON, which can't hold "
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
    """Refuse what PostgreSQL would, which breaks the caller's transaction.

    :param values: the columns of the row.
    :raises ValueError: the message names the column.
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


def refuse_too_large(task: str, *parts: Any) -> None:
    """Refuse a plain call whose message is too large for a broker.

    :param parts: what the message is made of; what JSON can't hold is another serializer's, or
        Celery refuses it.
    :raises ValueError: it says what to do.
    """
    most = conf.get("MESSAGE_MAX_BYTES")
    if not most:
        return
    try:
        size = len(dumps(parts))
    except (TypeError, ValueError, RecursionError):
        return
    if size > most:
        raise ValueError(
            f"{task}: the message of this plain call has {size} bytes, and "
            f"DURABLE_MESSAGE_MAX_BYTES allows {most}: pass the id of a row or a file, call it by "
            "delay_on_commit(), whose row goes through no broker, or raise that setting"
        )
