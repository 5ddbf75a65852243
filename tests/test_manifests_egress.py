"""Who may send out of the cluster: workers, backups, and whom the README's patch adds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from .containers import ROOT, run
from .manifests import Combination, need, objects, one, write

README = ROOT / "k8s/components/network-egress/README.md"


def sends_out(tmp_path: Path, more: str = "") -> set[str]:
    """Return the roles whose errors reach Sentry in production, with *more* in its overlay."""
    need("kubectl")
    for part in ("k8s", "deploy"):
        ignored = shutil.ignore_patterns(".test-*", "__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    overlay = write(tmp_path, Combination("egress", ("../prod",), ("network-egress",)))
    with (overlay / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(run("kubectl", "kustomize", overlay).stdout, "utf-8")
    policy = one(objects(rendered), "NetworkPolicy", "egress")["spec"]
    (selected,) = policy["podSelector"]["matchExpressions"]
    assert selected["operator"] == "In"
    assert {"port": 443} in policy["egress"][0]["ports"]
    return set(selected["values"])


def test_workers_and_backups_alone_unless_told_otherwise(tmp_path: Path) -> None:
    assert sends_out(tmp_path) == {"worker", "backup", "archive"}


def test_the_readmes_patch_adds_web_and_beat(tmp_path: Path) -> None:
    (patch,) = re.findall(r"```yaml\n(patches:.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert yaml.safe_load(patch).keys() == {"patches"}
    assert sends_out(tmp_path, patch) == {"worker", "backup", "archive", "web", "beat"}
