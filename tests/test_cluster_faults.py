"""Under load, whatever happens to a cluster: nothing is lost, nothing runs twice.

``make test-k8s`` runs all of the events and writes docs/kubernetes.md, ``make test`` some of them.
"""

from __future__ import annotations

import pytest

from .chaos.engine import ChaosError
from .chaos.runner import run_fault
from .cluster import events
from .cluster.event import PAGES, Event
from .cluster.fixtures import PAGE, Measured
from .cluster.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.mark.parametrize("event", events.ALL if PAGE else events.SHORT, ids=lambda e: e.name)
def test_no_event_loses_a_task_or_runs_it_twice(
    cluster_stack: Stack, measured: Measured, event: type[Event]
) -> None:
    try:
        outcome = run_fault(cluster_stack, event(), event.name, 1, print, PAGES)
    except (ChaosError, AssertionError):
        cluster_stack.mend()
        raise
    measured.add("cluster", outcome)
    assert outcome.enqueued >= 200
    assert (outcome.lost, outcome.twice) == ([], [])
    if event.name not in events.NOTICED:
        assert outcome.failed_requests == 0
