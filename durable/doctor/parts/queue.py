"""The rows and the workers, by the same functions as /metrics and its alerts."""

from __future__ import annotations

from collections.abc import Iterator

from durable.queue.metrics import metrics

from ..line import Level, Line, graded

#: Seconds that a row may be ready (k8s/components/monitoring/alerts.yaml rings at the first).
OLDEST = (600, 3600)


def lines() -> Iterator[Line]:
    """Yield a line for workers, waiting rows and the quarantine."""
    values = {name: numbers for name, _, _, numbers in metrics()}
    workers = int(values["proj_workers"][()])
    yield Line("queue", "workers", Level.OK if workers else Level.FAIL,
               f"{workers} with a recent sign of life",
               "start one: `make scale-workers N=2`, `docker/entrypoint.sh worker`")  # fmt: skip
    ready = {queue[0]: int(count) for queue, count in values["proj_tasks_ready"].items() if count}
    oldest, queue = max(
        ((age, label[0]) for label, age in values["proj_oldest_ready_seconds"].items()),
        default=(0.0, ""),
    )
    says = ", ".join(f"{count} in {name}" for name, count in sorted(ready.items())) or "none"
    yield Line("queue", "ready", graded(oldest, *OLDEST),
               says + (f"; the oldest for {oldest:.0f} s, in {queue}" if ready else ""),
               f"start more workers that take from {queue} (WORKER_QUEUES)")  # fmt: skip
    held = {label[0]: int(n) for label, n in values["proj_tasks_quarantined"].items() if n}
    yield Line("queue", "quarantine", Level.WARN if held else Level.OK,
               ", ".join(f"{count} in {name}" for name, count in sorted(held.items())) or "none",
               "look at their error in the admin, then start them again or discard them"
               " (docs/operations.md)")  # fmt: skip
