"""Every overlay and every sensible combination of components, rendered once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from .containers import ROOT, run, without

Object = dict[str, Any]

GENERATED = ("generated-secrets", "postgres", "redis")
#: Beside an overlay's own, each on its own.
ONE_MORE = (
    "autoscaling",
    "autoscaling-cpu",
    "monitoring",
    "network-egress",
    "ingress",
    "gateway",
)
#: The ways in read the host from the overlay's own component `site`.
WAYS_IN = {"ingress", "gateway"}

KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: proj-prod
resources: [{resources}]
components: [{components}]
images: [{{name: proj, newTag: local}}]
"""


class Combination(NamedTuple):
    """Resources and components, as an overlay lists them."""

    name: str
    resources: tuple[str, ...]
    components: tuple[str, ...]


BASE = ("namespace.yaml", "../../../k8s/base")

#: This list is the whole of what is rendered and scanned, beside the overlays as they stand.
COMBINATIONS = [
    *(Combination(f"prod+{each}", ("../prod",), (each,)) for each in ONE_MORE),
    Combination(
        "prod+all",
        ("../prod",),
        ("ingress", "autoscaling", "monitoring", "network-egress", "archive", "tls"),
    ),
    Combination(
        "managed",
        BASE,
        ("managed-secrets", "network-policy", "network-stores", "network-egress", "backup"),
    ),
    Combination(
        "s3",
        BASE,
        (*GENERATED, "network-policy", "network-egress", "backup-s3", "tls-cert-manager"),
    ),
    Combination(
        "managed+scaled",
        BASE,
        ("external-secrets", "network-policy", "network-stores", "gateway", "autoscaling"),
    ),
    Combination(
        "cloudnative-pg",
        BASE,
        ("generated-secrets", "cloudnative-pg", "redis", "network-policy", "backup"),
    ),
    Combination("openshift", ("../prod",), ("ingress", "openshift")),
    Combination(
        "without-broker",
        BASE,
        (
            *("generated-secrets", "postgres", "network-policy"),
            *("autoscaling-postgres", "monitoring", "backup"),
        ),
    ),
    Combination("smallest", BASE, GENERATED),
]


def exists(component: str) -> bool:
    """Return whether there is such a component."""
    return (ROOT / "k8s/components" / component / "kustomization.yaml").is_file()


def combinations() -> list[Combination]:
    """Return those whose components are there."""
    return [each for each in COMBINATIONS if all(map(exists, each.components))]


def overlays() -> list[str]:
    """Return the names of the overlays."""
    return sorted(path.parent.name for path in ROOT.glob("deploy/overlays/[a-z]*/namespace.yaml"))


def site() -> str:
    """Return the component `site` as the ingress' README shows it."""
    readme = (ROOT / "k8s/components/ingress/README.md").read_text("utf-8")
    found = re.search(r"```yaml\n(.*?kind: Component.*?)```", readme, re.DOTALL)
    assert found
    return found[1]


def write(folder: Path, combination: Combination) -> Path:
    """Write the overlay of *combination* into a copy of the tree at *folder*; return its path."""
    path = folder / "deploy/overlays" / combination.name
    path.mkdir()
    shutil.copy(folder / "deploy/overlays/prod/namespace.yaml", path)
    components = [f"../../../k8s/components/{each}" for each in combination.components]
    if WAYS_IN & set(combination.components):
        (path / "site").mkdir()
        (path / "site/kustomization.yaml").write_text(site(), "utf-8")
        components.insert(0, "site")
    text = KUSTOMIZATION.format(
        resources=", ".join(combination.resources), components=", ".join(components)
    )
    (path / "kustomization.yaml").write_text(text, "utf-8")
    return path


def render_all(folder: Path) -> dict[str, Path]:
    """Render everything to files below *folder*; return them by the combination's name."""
    tree, out = folder / "tree", folder / "rendered"
    out.mkdir()
    for part in ("k8s", "deploy"):
        ignored = shutil.ignore_patterns(".test-*", "__pycache__")
        shutil.copytree(ROOT / part, tree / part, ignore=ignored)
    paths = {name: tree / "deploy/overlays" / name for name in overlays()}
    paths |= {each.name: write(tree, each) for each in combinations()}
    files = {}
    for name, path in paths.items():
        files[name] = out / f"{name}.yaml"
        files[name].write_text(run("kubectl", "kustomize", path).stdout, "utf-8")
    return files


def objects(file: Path) -> list[Object]:
    """Return what a rendered file holds."""
    return [each for each in yaml.safe_load_all(file.read_text("utf-8")) if each]


each_one = pytest.mark.parametrize("name", [*overlays(), *(each.name for each in combinations())])


def need(program: str) -> str:
    """Return the path of *program*; skip without it, fail in CI."""
    found = shutil.which(program)
    if not found:
        without(f"{program} is not installed")
    return str(found)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Render everything once."""
    need("kubectl")
    return render_all(tmp_path_factory.mktemp("manifests"))


def one(found: list[Object], kind: str, name: str) -> Object:
    """Return the object of a kind and a name."""
    (thing,) = [o for o in found if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return thing


def app_env(found: list[Object]) -> dict[str, str]:
    """Return the settings that all pods of the image share."""
    (data,) = [o["data"] for o in found if o["metadata"]["name"].startswith("app-env-")]
    return dict(data)
