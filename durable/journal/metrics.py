"""Tasks that have ended, as counters and histograms, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from . import conf
from .minutes import BOUNDS
from .models import Total
from .totals import totals

_COUNTERS = (
    ("done", "proj_tasks_done_total", "Tasks that succeeded."),
    ("failed", "proj_tasks_failed_total", "Tasks that failed for good."),
    (
        "revoked",
        "proj_tasks_revoked_total",
        "Tasks that were revoked, cancelled, discarded, or expired.",
    ),
    ("retried", "proj_tasks_retried_total", "Attempts that asked for another one."),
    ("died", "proj_tasks_died_total", "Attempts that ended without a word, as by a kill."),
)
_WAIT = "Seconds from a task's due time until its last attempt began."
_RUN = "Seconds of a task's last attempt."


def metrics() -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], Any]]]:
    """Yield counters and histograms by task and queue; nothing where no journal is kept."""
    if not conf.days():
        return
    found: dict[tuple[str, ...], Total] = {(one.task, one.queue): one for one in totals()}
    by = ("task", "queue")
    for column, name, meaning in _COUNTERS:
        yield name, meaning, by, {key: float(getattr(of, column)) for key, of in found.items()}
    waits = {key: _histogram(of.waits, of.waited) for key, of in found.items()}
    yield "proj_task_wait_seconds", _WAIT, by, waits
    yield (
        "proj_task_run_seconds",
        _RUN,
        by,
        {key: _histogram(of.runs, of.ran) for key, of in found.items()},
    )


def _histogram(counts: Sequence[int], total: float) -> tuple[list[tuple[str, float]], float]:
    bounds = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]
    return list(zip(bounds, map(float, accumulate(counts)), strict=True)), total
