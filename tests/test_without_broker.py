"""DURABLE_DELAY=true and no CELERY_BROKER_URL: PostgreSQL is all that is deployed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.k8s.cluster import Cluster, generator

from .containers import ROOT
from .local_stack import PERSON
from .manifests import objects, one

CONFIGURE = """
import sys
from pathlib import Path
from deploy.local.folder import Folder
from deploy.local.stack import Stack
folder = Folder(Path(sys.argv[1]))
folder.open()
stack = Stack(folder, 8000)
stack.configure()
print(*(type(server).__name__ for server in stack.servers))
"""


#: Of the embedded PostgreSQL, whatever the broker is.
WRITTEN = {"SECRET_KEY", "DATABASE_URL", "OWNER_DATABASE_URL", "BACKUP_DATABASE_URL"}


@pytest.mark.parametrize(
    ("env", "servers", "written"),
    [
        ({}, "Postgres Valkey", {*WRITTEN, "CELERY_BROKER_URL"}),
        ({"DURABLE_DELAY": "true"}, "Postgres", {*WRITTEN, "DURABLE_DELAY"}),
        (
            {"DURABLE_DELAY": "true", "CELERY_BROKER_URL": "redis://cache.example"},
            "Postgres",
            {*WRITTEN, "CELERY_BROKER_URL"},
        ),
    ],
)
def test_make_run_starts_no_valkey(
    tmp_path: Path, env: dict[str, str], servers: str, written: set[str]
) -> None:
    folder = tmp_path / ".local"
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURE, folder], cwd=ROOT, env={**PERSON, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == servers, done.stderr
    lines = (folder / "env").read_text("utf-8").splitlines()
    assert {line.partition("=")[0] for line in lines if not line.startswith("#")} == written


def test_on_kubernetes_nothing_is_left_that_asks_for_redis(rendered: dict[str, Path]) -> None:
    found = objects(rendered["without-broker"])
    named = [o["kind"] for o in found if "redis" in o["metadata"]["name"]]
    assert named == ["Secret", "NetworkPolicy"]  # which nothing uses, and which selects nothing
    scalers = [o for o in found if o["kind"] in {"ScaledObject", "TriggerAuthentication"}]
    assert "redis" not in yaml.safe_dump_all(scalers)
    # The generator is told of it as the roles are, and starts anew when it changes.
    (container,) = one(found, "Deployment", "secrets")["spec"]["template"]["spec"]["initContainers"]
    (web, *_) = one(found, "Deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == web["envFrom"]


def test_make_secret_goes_by_the_overlays_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.k8s.cluster.OVERLAYS", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: "kubectl")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text("namespace: mine\n")
    cluster = Cluster("mine")
    assert generator().needs_broker(cluster.settings())
    (tmp_path / "mine/app.env").write_text("# Yours\nDURABLE_DELAY=true\n")
    assert not generator().needs_broker(cluster.settings())
