"""Tasks of chords that only tests run."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from tests.durable_tasks import write


@shared_task
def say(*values: Any) -> Any:
    """Return the last argument."""
    return values[-1]


@shared_task
def collect(values: list[Any]) -> list[Any]:
    """Return what a header has returned."""
    return values


@shared_task
def fail(*values: Any) -> None:
    """Fail."""
    raise LookupError("no such thing")


class UnspeakableError(LookupError):
    """An error of which no text can be made."""

    def __repr__(self) -> str:
        raise RuntimeError


@shared_task
def fail_unspeakably() -> None:
    """Fail with it."""
    raise UnspeakableError("no such thing")


@shared_task
def told(task_id: str) -> None:
    """Write down that it was called, as an error callback."""
    write(f"told of {task_id}")


@shared_task(bind=True)
def adds(self: Any) -> int:
    """Let the body wait for two more tasks."""
    for value in (2, 3):
        self.add_to_chord(say.s(value))
    return 1
