"""The events of test_cluster_faults.py on compose, measured for the rows beside the cluster's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .chaos.runner import Outcome, run_fault
from .chaos.stack import Stack
from .cluster import on_compose
from .cluster.event import PAGES
from .cluster.fixtures import Measured
from .cluster.table import APPLIED

pytestmark = [pytest.mark.cluster, pytest.mark.container, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def compose_stack(image: str, measured: Measured) -> Iterator[Stack]:
    started = time.monotonic()
    with Stack(image=image) as stack:
        outcome = Outcome(APPLIED, "`docker compose up`, from nothing until everything is healthy")
        outcome.recovery = time.monotonic() - started
        measured.add("compose", outcome)
        yield stack


@pytest.mark.parametrize("name", on_compose.BY_NAME)
def test_no_event_loses_a_task_or_runs_it_twice_on_compose(
    compose_stack: Stack, measured: Measured, name: str
) -> None:
    outcome = run_fault(compose_stack, on_compose.BY_NAME[name](), name, 1, print, PAGES)
    measured.add("compose", outcome)
    assert outcome.enqueued >= 200
    assert (outcome.lost, outcome.twice) == ([], [])
