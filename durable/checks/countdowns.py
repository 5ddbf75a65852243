"""Messages that wait in the broker for their time, for longer than it leaves them with a worker."""

from __future__ import annotations

from collections.abc import Iterator

from durable.queue import conf as queue

from .facts import tasks, visibility_timeout
from .invariant import Finding, invariant
from .source import waits


def _visible() -> float | None:
    """Return the ``visibility_timeout``; ``None`` too if every call is a row, and waits as one."""
    return None if queue.get("DELAY") else visibility_timeout()


@invariant(
    "proj.E041",
    "`visibility_timeout` > every `countdown=` that the source of the apps gives as a number to "
    "`apply_async()` or `retry()`",
    "call the task by `apply_async_on_commit()`, whose waiting is done in PostgreSQL",
)
def no_countdown_outlasts_the_visibility_timeout() -> Iterator[Finding]:
    """Find messages that a worker holds for so long that Redis gives them to others as well."""
    visible = _visible()
    if visible is None:
        return
    for wait in waits():
        if wait.seconds >= visible:
            yield (
                f"{wait.path}:{wait.line}: {wait.method}(countdown={wait.seconds:g}) is not below "
                f"visibility_timeout={visible:g}: the message goes to worker after worker while it "
                "waits, and each of them runs the task.",
                "Call the task by apply_async_on_commit(), which lets it wait in PostgreSQL (its "
                "retries then do too; silence this check if it is called so already).",
            )


@invariant(
    "proj.W041",
    "`visibility_timeout` > `default_retry_delay` of every task, and `retry_backoff_max` of those "
    "with `retry_backoff`",
    "call the task by `delay_on_commit()`, or lower the delay",
)
def no_retry_outlasts_the_visibility_timeout() -> Iterator[Finding]:
    """Find retries that wait for so long in the broker, if the task was called by ``delay()``."""
    visible = _visible()
    if visible is None:
        return
    for name, task in sorted(tasks().items()):
        backoff = getattr(task, "retry_backoff", False)
        delay = getattr(task, "retry_backoff_max", 600) if backoff else task.default_retry_delay
        if delay and delay >= visible:
            yield (
                f"{name}: its retries wait for up to {delay:g} s, which is not below "
                f"visibility_timeout={visible:g}; called by delay(), it then runs several times.",
                f"Call {name} by delay_on_commit(), or lower its "
                f"{'retry_backoff_max' if backoff else 'default_retry_delay'}.",
            )
