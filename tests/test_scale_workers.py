"""deploy/k8s/scale-workers: what it says when something is wrong, and who goes first."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from deploy.k8s.cluster import ClusterError
from deploy.k8s.scaling import __main__ as scaling
from deploy.k8s.scaling import idle
from durable.queue.models import Task, Worker

from .containers import ROOT, clean_env, run
from .manifests import need

SCRIPT = ROOT / "deploy" / "k8s" / "scale-workers"


def said(*arguments: str, **env: str) -> str:
    """Run the script as a person does; return what it says as it fails."""
    done = run(SCRIPT, *arguments, check=False, env=clean_env(**env))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", ["", "four", "-1", "1000"])
def test_a_wrong_number_is_named(number: str) -> None:
    assert f"N='{number}'" in said("--env=prod", "--", number).replace("N=1000", "N='1000'")


def test_an_unknown_env_lists_the_known_ones() -> None:
    there = ", ".join(sorted(p.parent.name for p in ROOT.glob("deploy/overlays/*/kust*")))
    assert f"ENV='prd': there is no deploy/overlays/prd; there is: {there}" in said(
        "4", "--env=prd"
    )


def test_without_kubectl_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(Path(sys.executable).resolve())
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "")
    assert "kubectl is not installed" in said("4", "--env=prod", PATH=str(tmp_path))


def test_without_a_cluster_it_says_how_to_see_which_one_is_meant(tmp_path: Path) -> None:
    need("kubectl")
    missing = str(tmp_path / "kubeconfig")
    assert "kubectl config current-context" in said("4", "--env=prod", KUBECONFIG=missing)


def test_no_workers_at_all_is_for_an_autoscaler_alone() -> None:
    with pytest.raises(ClusterError, match="1 or more"):
        scaling.number("0", least=1)
    assert scaling.number("0", least=0) == 0


def test_idle_workers_go_first_then_those_that_began_a_moment_ago() -> None:
    busy = {
        "holds": idle.Load(held=5000),
        "began": idle.Load(running=1, seconds=1),
        "long": idle.Load(running=1, seconds=100_000),
        "full": idle.Load(running=2),
    }
    found = idle.costs(["full", "long", "unknown", "began", "holds"], busy)
    assert sorted(found, key=lambda pod: found[pod]) == [
        "unknown", "holds", "began", "long", "full",
    ]  # fmt: skip
    assert found["unknown"] == 0


@pytest.mark.django_db
def test_the_rows_say_which_worker_runs_and_holds_what(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in "ab":
        Worker.objects.create(id=name, hostname=f"worker-{name}", pid=1, slots=2)
    began = timezone.now()
    for _ in range(2):
        started = began - timedelta(seconds=50)
        Task.objects.create(task="t", body="[]", worker="a", started_at=started)
    Task.objects.create(task="t", body="[]", worker="a")
    call_command("durable_workers", "--json")
    later = (timezone.now() - began).total_seconds()
    first, second = json.loads(capsys.readouterr().out)
    assert 99 <= first.pop("seconds") <= 101 + 2 * later
    assert first == {"hostname": "worker-a", "running": 2, "held": 1}
    assert second == {"hostname": "worker-b", "running": 0, "seconds": 0, "held": 0}
