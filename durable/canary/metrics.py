"""How long the canary of each queue takes, for `/metrics` and the console."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone

from .models import Canary


def seconds() -> dict[str, float]:
    """Return for each queue how long the one on its way takes so far; else what the last took."""
    now = timezone.now()
    return {
        each.queue: ((each.done_at or now) - each.called_at).total_seconds()
        for each in Canary.objects.order_by("queue")
    }


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
    """Yield the gauge; nothing for a queue that has none."""
    meaning = "Seconds from beat's call of a queue's canary to its commit: so far, or the last."
    found: dict[tuple[str, ...], float] = {(queue,): value for queue, value in seconds().items()}
    if found:
        yield "proj_canary_seconds", meaning, ("queue",), found
