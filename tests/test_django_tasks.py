"""Tasks by Django's API on real workers of each pool."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from tests import django_tasks_probe as probe
from tests import durable_tasks as tasks
from tests.fixtures_durable import TASKS, all_done
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

POOLS = {
    "prefork": {},
    "threads": {"CELERY_WORKER_POOL": "threads"},
    "batch": {"WORKER_BATCH": "100"},
}


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_by_djangos_api_runs_once_on_every_pool(start_role: StartRole, pool: str) -> None:
    with transaction.atomic():
        results = [probe.tells.enqueue(label) for label in ("a", "b", "c")]
        failed = probe.stumbles.enqueue("d")
    start_role("worker", **{**TASKS, "CELERY_IMPORTS": "tests.django_tasks_probe", **POOLS[pool]})
    wait_for(all_done, "all have ended")
    assert tasks.effects() == {"a": 1, "b": 1, "c": 1}
    for result in results:
        result.refresh()
        assert result.return_value
        assert len(result.worker_ids) == result.attempts == 1
    failed.refresh()
    assert (failed.status, failed.errors[0].exception_class) == ("FAILED", ValueError)
    assert not Group.objects.exists()
