"""`make scale-workers N=… ENV=…` on a real cluster without an autoscaler."""

from __future__ import annotations

import pytest

from .chaos import count
from .cluster.kubectl import name
from .cluster.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ENQUEUE = """
from chaos_probe import record, tasks
from django.db import transaction
with transaction.atomic():
    record.enqueued([("scale", "scale/000001", "long")])
    tasks.long_effect.apply_async_on_commit(("scale/000001", 75.0), queue="reports")
"""


def scale(stack: Stack, number: int) -> str:
    arguments = (f"N={number}", f"ENV={stack.overlay.path.name}", "POOL=reports")
    return stack.run("make", "scale-workers", *arguments, timeout=400)


def test_a_scale_down_takes_the_idle_workers_and_the_busy_one_stays(cluster_stack: Stack) -> None:
    kubectl = cluster_stack.kubectl
    assert "3 workers of pool reports consume" in scale(cluster_stack, 3)
    cluster_stack.manage(ENQUEUE)

    def busy() -> list[list[str]]:
        return cluster_stack.sql(
            "SELECT hostname FROM durable_task AS entry"
            " JOIN durable_worker AS w ON entry.worker = w.id WHERE entry.started_at IS NOT NULL"
        )

    kubectl.wait(busy, "a worker runs the task", 60)
    ((worker,),) = busy()
    said = scale(cluster_stack, 1)
    assert "1 of 3 workers are busy; idle ones go first" in said
    assert "1 workers of pool reports consume (3 before)" in said
    (left,) = kubectl.pods("worker", pool="reports")
    assert name(left) == worker
    assert not [key for key in left["metadata"].get("annotations", {}) if "deletion-cost" in key]
    kubectl.wait(lambda: count.count(cluster_stack, "scale").done, "the task is done", 180)
    assert count.count(cluster_stack, "scale").doubled == []
