"""Settings that keep the message of a task until the task is done."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import conf, some, tasks, visibility_timeout
from .invariant import Finding, invariant


@invariant(
    "proj.E011",
    "CELERY_TASK_REJECT_ON_WORKER_LOST with CELERY_TASK_ACKS_LATE, for every task",
    "leave both at true; `reject_on_worker_lost=True` where a task sets `acks_late=True`",
)
def late_tasks_go_back_when_their_process_dies() -> Iterator[Finding]:
    """Find tasks that are acknowledged although the process that ran them died."""
    names = [n for n, t in tasks().items() if t.acks_late and not t.reject_on_worker_lost]
    if names:
        yield (
            f"acks_late without reject_on_worker_lost for {some(names)}: when a process of the "
            "pool dies, its task is acknowledged as failed, and lost.",
            "Leave CELERY_TASK_REJECT_ON_WORKER_LOST at true, or give the task "
            "reject_on_worker_lost=True.",
        )


@invariant(
    "proj.W011",
    "CELERY_TASK_ACKS_LATE, for every task",
    "leave CELERY_TASK_ACKS_LATE at true, or call the task by `delay_on_commit()`",
)
def tasks_are_acknowledged_when_they_are_done() -> Iterator[Finding]:
    """Find tasks that are acknowledged before they run."""
    names = [name for name, task in tasks().items() if not task.acks_late]
    if names:
        yield (
            f"acks_late=False for {some(names)}: what a worker that dies had of them is lost, "
            "unless they were called by delay_on_commit().",
            "Leave CELERY_TASK_ACKS_LATE at true and remove acks_late=False from the task, or call "
            "it by delay_on_commit().",
        )


@invariant(
    "proj.W012",
    "CELERY_WORKER_PREFETCH_MULTIPLIER = 1 with CELERY_TASK_ACKS_LATE",
    "leave CELERY_WORKER_PREFETCH_MULTIPLIER at 1; more slots are CELERY_WORKER_CONCURRENCY",
)
def no_message_waits_behind_a_running_task() -> Iterator[Finding]:
    """Find a prefetch that lets messages wait in a busy worker while another one is idle."""
    multiplier = conf().worker_prefetch_multiplier
    if conf().task_acks_late and multiplier != 1:
        many = f"{multiplier} messages for each slot" if multiplier else "any number of messages"
        yield (
            f"CELERY_WORKER_PREFETCH_MULTIPLIER={multiplier} with CELERY_TASK_ACKS_LATE: a worker "
            f"takes {many}, and they wait behind its running tasks while others are idle.",
            "Leave CELERY_WORKER_PREFETCH_MULTIPLIER at 1.",
        )


@invariant(
    "proj.E012",
    "CELERY_WORKER_PREFETCH_MULTIPLIER is not 0 (without a bound) where a `visibility_timeout` is",
    "set CELERY_WORKER_PREFETCH_MULTIPLIER to 1",
)
def a_worker_does_not_take_all_there_is() -> Iterator[Finding]:
    """Find a worker that takes a whole backlog, which Redis then gives to the next one as well."""
    visible = visibility_timeout()
    if conf().task_acks_late and not conf().worker_prefetch_multiplier and visible is not None:
        yield (
            "CELERY_WORKER_PREFETCH_MULTIPLIER=0: a worker takes every message there is, and what "
            f"it has not run after visibility_timeout={visible:g} s runs elsewhere too.",
            "Set CELERY_WORKER_PREFETCH_MULTIPLIER to 1.",
        )
