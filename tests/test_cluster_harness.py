"""The fault suite's half for Kubernetes, as far as it needs no cluster."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from .chaos import page
from .chaos.files import ROOT
from .cluster import events, on_compose, table
from .cluster.overlay import Overlay
from .cluster.stack import belongs, is_current
from .containers import run, without


def test_every_event_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len(events.BY_NAME) == len(events.ALL) > 15
    assert all(event.what and event.__doc__ for event in events.ALL)
    assert set(events.SHORT) < set(events.ALL)


def test_the_page_has_a_line_for_every_event_on_the_cluster_and_on_compose() -> None:
    text = page.between((ROOT / "docs" / "kubernetes.md").read_text("utf-8"), "events")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    named = {(row[0].removeprefix("| "), row[1]) for row in rows}
    assert named == {
        *((name, "cluster") for name in (table.APPLIED, *events.BY_NAME)),
        *((name, "compose") for name in (table.APPLIED, *on_compose.BY_NAME)),
    }


def test_the_overlay_changes_of_prod_only_what_the_suite_needs(tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        without("kubectl is not installed")
    overlay = Overlay(tmp_path / "proj", "elsewhere", ALLOWED_HOSTS="localhost")
    overlay.write("proj-test:1")
    prod = run("kubectl", "kustomize", str(overlay.path.parent / "prod")).stdout
    ours = run("kubectl", "kustomize", str(overlay.path)).stdout
    changed = set(ours.splitlines()) - set(prod.splitlines())
    words = (
        "elsewhere", "image: proj-test:1", "app-env-", "DJANGO_SETTINGS_MODULE", "ALLOWED_HOSTS",
        "type: NodePort", "odAffinity", "- labelSelector:", "topologyKey:", "postgres",
        "requiredDuringScheduling", "affinity:", "matchLabels:",
    )  # fmt: skip
    assert [line for line in changed if not any(word in line for word in words)] == []


def workload(**status: int) -> dict[str, Any]:
    return {
        "metadata": {"generation": 3},
        "spec": {"selector": {"matchLabels": {"component": "web"}}},
        "status": status,
    }


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        ({"metadata": {"labels": {"component": "web", "hash": "1"}}}, True),
        ({"metadata": {"labels": {"component": "beat"}}}, False),
        ({"metadata": {"labels": {"component": "web"}, "deletionTimestamp": "now"}}, False),
        ({"metadata": {"labels": {"component": "web"}}, "status": {"phase": "Failed"}}, False),
    ],
)
def test_a_pod_counts_for_its_workload_while_it_is_here_to_stay(
    pod: dict[str, Any], counts: bool
) -> None:
    assert belongs({"status": {"phase": "Running"}, **pod}, workload()) is counts


def test_a_roll_out_is_over_when_the_controller_has_seen_it_and_made_every_pod() -> None:
    assert is_current(workload(observedGeneration=3, updatedReplicas=2), 2)
    assert not is_current(workload(observedGeneration=2, updatedReplicas=2), 2)
    assert not is_current(workload(observedGeneration=3, updatedReplicas=1), 2)
    assert is_current(workload(observedGeneration=3), 0)
