"""In a roll-out: a worker of the old version beside one of the new runs only what it can."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now

from durable.queue.models import Task
from tests import durable_tasks as tasks
from tests import two_versions as new
from tests.fixtures_durable import TASKS
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

BOTH = {**TASKS, "CELERY_IMPORTS": "tests.two_versions"}


@pytest.mark.parametrize("batch", ["0", "10"], ids=["prefork", "batch"])
def test_calls_of_the_new_version_wait_for_a_worker_of_the_new(
    batch: str, start_role: StartRole
) -> None:
    old = {**BOTH, "TEST_VERSION": "old", "WORKER_BATCH": batch}
    start_role("worker", ready="ready", **old)
    new.charge.delay_on_commit("a")
    renamed = new.charge.delay_on_commit("b", account=1)
    added = new.refund.delay_on_commit("c")
    refused = Task.objects.filter(error__contains="can't be called so")
    wait_for(lambda: refused.count() == 1, "the old one has refused it")
    wait_for(lambda: tasks.effects() == {"a by the old": 1}, "and has run what it can")
    waits = Task.objects.get(task=new.refund.name)
    assert (waits.worker, waits.attempt, waits.history) == (None, 0, [])

    start_role("worker", ready="ready", **BOTH)

    def sooner() -> int:
        """Bring the next try forward: by chance again the old one's, which must not be counted."""
        return Task.objects.update(due_at=Now(), history=[])

    wait_for(lambda: sooner() == 0, "the new one has run them")
    assert tasks.effects() == {"a by the old": 1, "b by the new": 1, "c by the new": 1}
    assert [renamed.state, added.state] == ["SUCCESS", "SUCCESS"]
