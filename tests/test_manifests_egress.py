"""Who may send where, out of the cluster and in it, by the patches of the components' READMEs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from .containers import ROOT, run
from .manifests import Combination, Object, app_env, need, objects, one, write
from .test_manifests_network import PRIVATE, lets_out

README = ROOT / "k8s/components/network-egress/README.md"


def production(tmp_path: Path, component: str, more: str = "") -> list[Object]:
    """Return what production renders with a component, and *more* in its overlay."""
    need("kubectl")
    for part in ("k8s", "deploy"):
        ignored = shutil.ignore_patterns(".test-*", "__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    overlay = write(tmp_path, Combination(component, ("../prod",), (component,)))
    with (overlay / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(run("kubectl", "kustomize", overlay).stdout, "utf-8")
    return objects(rendered)


def egress(tmp_path: Path, more: str = "") -> Object:
    """Return the policy of those who send out of the cluster."""
    return one(production(tmp_path, "network-egress", more), "NetworkPolicy", "egress")


def sends_out(policy: Object) -> set[str]:
    """Return the roles whose errors reach Sentry."""
    (selected,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert selected["operator"] == "In"
    assert lets_out(policy, 443, address="192.0.2.1")
    return set(selected["values"])


def patches() -> tuple[str, str]:
    """Return the README's patches: a private address, and more roles."""
    (address, roles) = re.findall(
        r"```yaml\n(patches:.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    assert yaml.safe_load(address).keys() == yaml.safe_load(roles).keys() == {"patches"}
    return address, roles


def test_workers_and_backups_alone_unless_told_otherwise(tmp_path: Path) -> None:
    assert sends_out(egress(tmp_path)) == {"worker", "backup", "archive"}


def test_the_readmes_patch_adds_web_and_beat(tmp_path: Path) -> None:
    found = sends_out(egress(tmp_path, patches()[1]))
    assert found == {"worker", "backup", "archive", "web", "beat"}


def test_the_readmes_patch_lets_out_to_one_private_address_and_to_no_other(tmp_path: Path) -> None:
    policy = egress(tmp_path, patches()[0])
    assert "10.1.2.3" in PRIVATE
    assert [a for a in PRIVATE if lets_out(policy, 587, address=a)] == ["10.1.2.3"]
    assert sends_out(policy) == {"worker", "backup", "archive"}


def test_the_proxy_is_asked_only_where_an_overlay_names_it_and_lets_web_ask(tmp_path: Path) -> None:
    page = (ROOT / "k8s/components/ingress/README.md").read_text("utf-8")
    [patch] = re.findall(r"```yaml\n(patches:.*?)```", page, re.DOTALL)
    [named] = re.findall(r"^OPS_PROXY=(.*)$", page, re.MULTILINE)
    found = production(tmp_path, "ingress", patch)
    assert "OPS_PROXY" not in app_env(found)
    *_, rule = one(found, "NetworkPolicy", "roles")["spec"]["egress"]
    [peer] = rule["to"]
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert f".{namespace}/" in named
