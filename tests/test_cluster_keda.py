"""k8s/components/autoscaling on a real cluster with KEDA: as many workers as work, down to none.

Real tasks, counted: what was sent against what was executed. A worker that was killed while it was
busy would leave its task to a second start.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from .chaos import count
from .cluster.kubectl import Kubectl, is_ready
from .cluster.stack import Stack
from .containers import without

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

#: Nothing that is tested: a test's cluster has little room and a test little time.
SMALLER_AND_FASTER = """\
  - target: {kind: Deployment, name: "web|beat|worker-.*"}
    patch: |-
      - {op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 20m}
      - {op: replace, path: /spec/template/spec/initContainers/0/resources/requests/cpu, value: 20m}
  - target: {kind: StatefulSet}
    patch: |-
      - {op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 20m}
  - target: {kind: HorizontalPodAutoscaler, name: web}
    patch: '[{"op": "replace", "path": "/spec/maxReplicas", "value": 2}]'
  - target: {kind: ScaledObject}
    patch: |-
      apiVersion: keda.sh/v1alpha1
      kind: ScaledObject
      metadata: {name: any}
      spec:
        pollingInterval: 3
        cooldownPeriod: 15
        maxReplicaCount: 3
        advanced:
          horizontalPodAutoscalerConfig:
            behavior: {scaleDown: {stabilizationWindowSeconds: 5}}
"""

ENQUEUE = """
from chaos_probe import record, tasks
from django.db import transaction
with transaction.atomic():
    work = [(f"{label}/{{n:06}}", seconds) for n, seconds in enumerate({seconds})]
    record.enqueued([("{label}", operation, "long") for operation, _ in work])
    for operation, seconds in work:
        tasks.long_effect.apply_async_on_commit((operation, seconds), queue="reports")
"""


class ScaledStack(Stack):
    """The stack with autoscaling, on little room."""

    def apply(self) -> str:
        file = self.overlay.path / "kustomization.yaml"
        if SMALLER_AND_FASTER not in (text := file.read_text("utf-8")):
            file.write_text(text + SMALLER_AND_FASTER, "utf-8")
        return super().apply()

    def workers(self) -> list[dict[str, Any]]:
        """Return the pods of the pool `reports` that are not on their way out."""
        return self.kubectl.pods("worker", pool="reports")

    def enqueue(self, label: str, seconds: list[float]) -> None:
        """Enqueue a task for each of *seconds* that works for so long."""
        self.manage(ENQUEUE.format(label=label, seconds=seconds))

    def most_attempts(self) -> int:
        """Return the attempts of the task that has had the most."""
        ((attempts,),) = self.sql("SELECT coalesce(max(attempt), 0) FROM durable_task")
        return int(attempts)

    def blind(self) -> float:
        """Return for how many seconds the autoscaler has not known how much work there is."""
        scaler = self.kubectl.one("horizontalpodautoscaler", "keda-hpa-worker-reports")
        for condition in scaler.get("status", {}).get("conditions", []):
            if (condition["type"], condition["status"]) == ("ScalingActive", "False"):
                since = datetime.fromisoformat(condition["lastTransitionTime"])
                return (datetime.now(UTC) - since).total_seconds()
        return 0.0


@pytest.fixture(scope="module")
def scaled(cluster: Kubectl, cluster_images: tuple[str, str]) -> Iterator[ScaledStack]:
    if cluster.status("get", "crd", "scaledobjects.keda.sh")[0]:
        without("the cluster has no KEDA")
    stack = ScaledStack(cluster.kubeconfig, cluster_images, ["autoscaling"])
    with stack:
        yield stack


def test_from_none_to_three_and_back_with_every_task_done_once(scaled: ScaledStack) -> None:
    scaled.kubectl.wait(lambda: not scaled.workers(), "no worker while there is no work", 180)
    # Two go on when the others are done: KEDA then takes workers away without knowing which of
    # them are busy.
    scaled.enqueue("keda", [60.0, 60.0, *[6.0] * 16])
    attempts, most = 0, 0

    def is_done() -> bool:
        nonlocal attempts, most
        attempts = max(attempts, scaled.most_attempts())
        most = max(most, sum(map(is_ready, scaled.workers())))
        return count.count(scaled, "keda").done

    scaled.kubectl.wait(is_done, "every task is done", 400)
    scaled.kubectl.wait(lambda: not scaled.workers(), "no worker after the work", 240)
    found = count.count(scaled, "keda")
    print(f"{found.executed} of {found.enqueued} executed, {most} workers, {attempts} attempts")
    assert (found.enqueued, found.executed, found.lost, found.doubled) == (18, 18, [], [])
    assert most == 3
    assert attempts == 1  # no worker was stopped before its task had ended


def test_tasks_without_a_row_start_a_worker_too(scaled: ScaledStack) -> None:
    scaled.manage(
        "from chaos_probe import tasks;"
        "tasks.long_effect.apply_async(('plain/000001', 0.1), queue='reports')"
    )

    def executed() -> bool:
        return scaled.sql("SELECT 1 FROM chaos_effect WHERE operation = 'plain/000001'") != []

    scaled.kubectl.wait(executed, "a task called by a plain delay() is done", 240)


def test_a_database_that_is_away_takes_no_worker_away(scaled: ScaledStack) -> None:
    scaled.enqueue("away", [100.0, 100.0, 100.0])
    scaled.kubectl.wait(lambda: len(scaled.workers()) == 2, "two workers for three tasks", 180)
    scaled.kubectl("scale", "statefulset/postgres", "--replicas=0")
    try:
        # Longer than the cooldown and the stabilization of this test.
        scaled.kubectl.wait(lambda: scaled.blind() > 30, "KEDA can't ask the database", 240)
        assert len(scaled.workers()) == 2
    finally:
        scaled.kubectl("scale", "statefulset/postgres", "--replicas=1")
        scaled.kubectl("rollout", "status", "statefulset/postgres", "--timeout=180s")
    scaled.kubectl.wait(lambda: count.count(scaled, "away").done, "every task is done", 400)
    assert count.count(scaled, "away").doubled == []
