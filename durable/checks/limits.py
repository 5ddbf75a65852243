"""Time limits, and how long the broker waits for a task before it gives it to another worker."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .facts import conf, duration, longest, rounds, some, tasks, transport, visibility_timeout
from .invariant import Finding, invariant

#: Seconds after which RabbitMQ closes the channel of a consumer that didn't acknowledge:
#: ``consumer_timeout``, since 3.8.15.
RABBITMQ = 1800


@invariant(
    "proj.E001",
    "`visibility_timeout` of CELERY_BROKER_TRANSPORT_OPTIONS > the longest time limit of all tasks "
    "(their own `time_limit=` too) × CELERY_WORKER_PREFETCH_MULTIPLIER",
    "raise `visibility_timeout`, or lower the limit",
)
def visibility_exceeds_the_longest_task() -> Iterator[Finding]:
    """Find a task that Redis would hand to a second worker while the first one runs it."""
    visible = visibility_timeout()
    if visible is None:
        return
    seconds, name = longest()
    if math.isinf(seconds):
        return  # proj.E002 speaks of it
    if visible <= (needed := seconds * rounds()):
        times = f" × CELERY_WORKER_PREFETCH_MULTIPLIER={rounds()}" if rounds() > 1 else ""
        yield (
            f"visibility_timeout={visible:g} is not above the {seconds:g} s that {name} may "
            f"take{times}: the broker gives such a task to a second worker while the first one "
            "runs it.",
            f'Set CELERY_BROKER_TRANSPORT_OPTIONS={{"visibility_timeout": {int(needed) + 60}}} or '
            "more, or lower the task's time_limit.",
        )


@invariant(
    "proj.E002",
    "a hard time limit on every task, where the broker has a `visibility_timeout`",
    "set CELERY_TASK_TIME_LIMIT, or `time_limit=` of the task",
)
def every_task_ends_before_it_is_given_away() -> Iterator[Finding]:
    """Find tasks without an end on a broker that waits for so long and no longer."""
    endless = [name for name, task in tasks().items() if math.isinf(duration(task))]
    if endless and (visible := visibility_timeout()) is not None:
        yield (
            f"No hard time limit for {some(endless)}: after visibility_timeout={visible:g} s the "
            "broker gives such a task to a second worker while the first one runs it.",
            "Set CELERY_TASK_TIME_LIMIT (seconds), or time_limit= of the task.",
        )


@invariant(
    "proj.W001",
    "a hard time limit on every task",
    "set CELERY_TASK_TIME_LIMIT, or `time_limit=` of the task",
)
def every_task_ends() -> Iterator[Finding]:
    """Find tasks without an end on any other broker: one that hangs holds its slot for ever."""
    endless = [name for name, task in tasks().items() if math.isinf(duration(task))]
    if endless and visibility_timeout() is None:
        yield (
            f"No hard time limit for {some(endless)}: one that hangs holds its slot for ever.",
            "Set CELERY_TASK_TIME_LIMIT (seconds), or time_limit= of the task.",
        )


@invariant(
    "proj.W002",
    "the hard time limit > the soft one, for every task as its own and the common settings come "
    "to (the pool starts the clock of the hard one when the soft one is over)",
    "set `soft_time_limit=` where `time_limit=` is set, or CELERY_TASK_SOFT_TIME_LIMIT",
)
def hard_limits_are_above_the_soft_ones() -> Iterator[Finding]:
    """Find hard limits that have no effect."""
    for name, task in sorted(tasks().items()):
        hard, soft = float(task.time_limit or 0), float(task.soft_time_limit or 0)
        if 0 < hard <= soft:
            yield (
                f"{name}: its hard time limit of {hard:g} s is not above its soft one of {soft:g} "
                f"s, and has no effect: it is killed after {soft:g} s at the earliest.",
                f"Give {name} a soft_time_limit= below {hard:g}, or change "
                "CELERY_TASK_SOFT_TIME_LIMIT and CELERY_TASK_TIME_LIMIT.",
            )


@invariant(
    "proj.W003",
    "RabbitMQ's `consumer_timeout` (30 minutes unless the server says otherwise) > the longest "
    "time limit × CELERY_WORKER_PREFETCH_MULTIPLIER, with CELERY_TASK_ACKS_LATE",
    "raise `consumer_timeout` in rabbitmq.conf, or lower the limit",
)
def rabbitmq_waits_for_the_longest_task() -> Iterator[Finding]:
    """Find a task for whose acknowledgement RabbitMQ doesn't wait."""
    seconds, name = longest()
    needed = seconds * rounds()
    waits = transport() in {"amqp", "amqps", "pyamqp"} and conf().task_acks_late
    if waits and needed >= RABBITMQ:
        yield (
            f"{name} may take {needed:g} s until it is acknowledged: RabbitMQ's consumer_timeout "
            f"is {RABBITMQ} s by default, and then it closes the channel and gives its messages to "
            "other workers.",
            "Raise consumer_timeout (milliseconds) in rabbitmq.conf and silence this check, or "
            "lower the limit.",
        )
