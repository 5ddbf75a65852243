"""How a worker is stopped: what runs may finish, the rest is handed back, then it is killed."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from durable.environment.reader import Reader

from .facts import conf, visibility_timeout
from .invariant import Finding, invariant

#: Seconds that a worker needs after its soft shutdown: to cancel what still runs, to hand it back
#: to the broker, to close its connections.
HAND_BACK = 35


@invariant(
    "proj.E021",
    "WORKER_GRACE_PERIOD (what the supervisor waits between TERM and KILL) ≥ "
    f"CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + {HAND_BACK} s",
    "raise WORKER_GRACE_PERIOD (systemd: TimeoutStopSec too; Kubernetes: the patch in "
    "k8s/README.md), or lower the soft shutdown",
)
def a_worker_has_time_to_hand_back() -> Iterator[Finding]:
    """Find a worker that is killed before it has handed back what it could not finish."""
    soft, grace = float(conf().worker_soft_shutdown_timeout or 0), settings.WORKER_GRACE_PERIOD
    if grace < soft + HAND_BACK:
        yield (
            f"WORKER_GRACE_PERIOD={grace} is less than CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="
            f"{soft:g} + {HAND_BACK} s: at a stop a worker is killed before it has handed back its "
            "tasks.",
            f"Set WORKER_GRACE_PERIOD to {int(soft) + HAND_BACK} or more, or lower "
            "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT.",
        )


@invariant(
    "proj.E022",
    "`visibility_timeout` > WORKER_GRACE_PERIOD + CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
    "raise `visibility_timeout`, or lower WORKER_GRACE_PERIOD",
)
def a_stopping_worker_keeps_its_tasks() -> Iterator[Finding]:
    """Find a stop that takes longer than Redis waits for the tasks that finish during it."""
    visible = visibility_timeout()
    soft, grace = float(conf().worker_soft_shutdown_timeout or 0), settings.WORKER_GRACE_PERIOD
    if visible is not None and visible <= soft + grace:
        yield (
            f"visibility_timeout={visible:g} is not above WORKER_GRACE_PERIOD={grace} + "
            f"CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT={soft:g}: what a worker finishes while it stops "
            "runs elsewhere at the same time.",
            "Set CELERY_BROKER_TRANSPORT_OPTIONS="
            f'{{"visibility_timeout": {int(soft + grace) + 60}}} or more.',
        )


@invariant(
    "proj.E023",
    "WORKER_GRACE_PERIOD ≤ TERMINATION_GRACE_PERIOD, by which a worker's pod tells its own "
    "terminationGracePeriodSeconds, and its unit of systemd TimeoutStopSec",
    "lower WORKER_GRACE_PERIOD, or change those two numbers (k8s/README.md, deploy/systemd)",
)
def the_supervisor_waits_as_long() -> Iterator[Finding]:
    """Find a number in a file of settings that the one who kills has never heard of."""
    grace, real = settings.WORKER_GRACE_PERIOD, Reader().integer("TERMINATION_GRACE_PERIOD", 0)
    if 0 < real < grace:
        yield (
            f"WORKER_GRACE_PERIOD={grace}, and this worker is killed {real} s after it was told to "
            "stop: no variable changes terminationGracePeriodSeconds (Kubernetes) or "
            "TimeoutStopSec (systemd).",
            f"Take WORKER_GRACE_PERIOD out of the overlay's app.env or /etc/proj (it is {real} "
            "then), or change that number and TERMINATION_GRACE_PERIOD beside it: k8s/README.md, "
            "deploy/systemd/README.md.",
        )
