"""A worker stops when it is told to, whatever its broker does."""

from __future__ import annotations

import os

import pytest

from tests.cable import Cable, through
from tests.fixtures_worker import StartRole

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_idle_worker_stops_with_status_0(start_role: StartRole) -> None:
    assert start_role("worker").stop() == 0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_worker_stops_while_its_broker_is_away(
    start_role: StartRole, broker: Cable, noticed: bool
) -> None:
    """Whether it has seen that already or says farewell to a broker that it takes for alive."""
    worker = start_role(
        "worker", CELERY_BROKER_URL=through(broker, os.environ["CELERY_BROKER_URL"])
    )
    broker.pull()
    if noticed:
        worker.wait_for_line("consumer: Connection to broker lost")
    worker.process.terminate()
    worker.process.wait(60)
