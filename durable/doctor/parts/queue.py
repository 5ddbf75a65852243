"""The rows and the workers, by the same functions as /metrics and its alerts."""

from __future__ import annotations

from collections.abc import Iterator

from durable.journal import entry
from durable.queue import overview
from durable.queue.metrics import metrics

from ..line import Level, Line, graded

#: Seconds that a row may be ready (k8s/components/monitoring/alerts.yaml rings at the first).
OLDEST = (600, 3600)


def lines() -> Iterator[Line]:
    """Yield a line for workers, their versions, waiting rows and the quarantine."""
    values = {name: numbers for name, _, _, numbers in metrics()}
    alive = [one for one in overview.workers() if one.alive]
    taken = ", ".join(sorted({queue for one in alive for queue in one.queues.split(",")}))
    yield Line("queue", "workers", Level.OK if alive else Level.FAIL,
               f"{len(alive)} with a recent sign of life" + (f", for {taken}" if taken else ""),
               "start one: `make scale-workers N=2`, `docker/entrypoint.sh worker`")  # fmt: skip
    versions = sorted({entry.version(), *(one.version for one in alive)} - {""})
    yield Line("queue", "versions", Level.WARN if len(versions) > 1 else Level.OK,
               ", ".join(versions) or "no APP_VERSION",
               "finish the roll-out (`make up`), or go back (`make rollback`)")  # fmt: skip
    ready = {queue[0]: int(count) for queue, count in values["proj_tasks_ready"].items() if count}
    oldest, queue = max(
        ((age, label[0]) for label, age in values["proj_oldest_ready_seconds"].items()),
        default=(0.0, ""),
    )
    says = ", ".join(f"{count} in {name}" for name, count in sorted(ready.items())) or "none"
    says += f"; the oldest for {oldest:.0f} s, in {queue}" if ready else ""
    alone = ", ".join(sorted(label[0] for label, n in values["proj_tasks_untaken"].items() if n))
    yield Line("queue", "ready", Level.FAIL if alone else graded(oldest, *OLDEST),
               says + (f"; no worker takes from {alone}" if alone else ""),
               f"start more workers that take from {alone or queue} (WORKER_QUEUES)")  # fmt: skip
    held = {label[0]: int(n) for label, n in values["proj_tasks_quarantined"].items() if n}
    yield Line("queue", "quarantine", Level.WARN if held else Level.OK,
               ", ".join(f"{count} in {name}" for name, count in sorted(held.items())) or "none",
               "look at their error in the admin, then start them again or discard them"
               " (docs/operations.md)")  # fmt: skip
