"""How long results are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator

from celery.utils.time import maybe_timedelta

from .facts import conf, longest
from .invariant import Finding, invariant


def expires() -> float:
    """Return the seconds that a result is kept; 0 is for ever."""
    found = maybe_timedelta(conf().result_expires)
    return found.total_seconds() if found else 0.0


@invariant(
    "proj.E031",
    "CELERY_RESULT_EXPIRES > the longest time limit of all tasks",
    "raise CELERY_RESULT_EXPIRES",
)
def results_outlive_the_longest_task() -> Iterator[Finding]:
    """Find results that are deleted while the rest of their chord still runs."""
    seconds, name = longest()
    if 0 < expires() <= seconds and not math.isinf(seconds):
        yield (
            f"CELERY_RESULT_EXPIRES={expires():g} is not above the {seconds:g} s that {name} may "
            "take: the results of a chord's first tasks are deleted before its last one is done.",
            f"Set CELERY_RESULT_EXPIRES to {int(seconds) + 3600} or more.",
        )


@invariant(
    "proj.W031",
    "CELERY_RESULT_EXPIRES > 0, for durable.housekeeping deletes what is older",
    "set CELERY_RESULT_EXPIRES, in seconds",
)
def results_are_deleted_some_day() -> Iterator[Finding]:
    """Find results that stay for ever."""
    if not expires():
        yield (
            "CELERY_RESULT_EXPIRES=0: housekeeping deletes no result, and their table grows.",
            "Set CELERY_RESULT_EXPIRES (seconds); 604800 is a week.",
        )
