"""Every fault, in the order in which they run."""

from __future__ import annotations

from ..fault import Fault
from . import beat, deploy, networks, postgres, redis, tasks, web, workers

ALL: tuple[type[Fault], ...] = (
    *workers.FAULTS,
    *tasks.FAULTS,
    *redis.FAULTS,
    *postgres.FAULTS,
    *networks.FAULTS,
    *web.FAULTS,
    *beat.FAULTS,
    *deploy.FAULTS,
)
BY_NAME: dict[str, type[Fault]] = {fault.name: fault for fault in ALL}
