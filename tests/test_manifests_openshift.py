"""The component openshift: no pod names a user or a group, whatever stands before it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .containers import ROOT, run
from .manifests import each_one, objects, one

COMPONENT = ROOT / "k8s/components/openshift"
#: restricted-v2 takes these from the namespace's own ranges, and refuses any other.
FIXED = re.compile(r"runAs(User|Group)|(fs|supplemental)Groups?|runAsUserName|seLinuxOptions")


def keys(thing: Any) -> Iterator[str]:
    """Give every key in *thing*, however deep."""
    if isinstance(thing, dict):
        yield from thing
        for value in thing.values():
            yield from keys(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from keys(value)


@each_one
def test_nothing_is_left_of_what_restricted_v2_refuses(
    rendered: dict[str, Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "all.yaml").write_text(rendered[name].read_text("utf-8"), "utf-8")
    lines = {
        "kind": "Kustomization",
        "resources": ["all.yaml"],
        "components": [os.path.relpath(COMPONENT, tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(lines), "utf-8")
    found = list(yaml.safe_load_all(run("kubectl", "kustomize", tmp_path).stdout))

    assert len(found) == len(objects(rendered[name]))
    assert [key for key in keys(found) if FIXED.fullmatch(key)] == []
    # And nothing else went with them.
    context = one(found, "Deployment", "web")["spec"]["template"]["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_readmes_overlay_has_it_as_the_last_one() -> None:
    readme = (COMPONENT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(components:.*?)```", readme, re.DOTALL)
    listed = [Path(line).name for line in yaml.safe_load(block)["components"]]
    assert listed[-1] == "openshift"
    assert all((ROOT / "k8s/components" / each).is_dir() for each in listed)
