"""Secrets on a real API server: made once, by a pod that may do nothing else; or by a person."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.k8s.cluster import generator

from .cluster.kubectl import Kubectl
from .containers import ROOT

sys.path.insert(0, str(ROOT / "docker"))  # as for the script that lies there
import kubernetes_secrets
from kubernetes_secrets import Api, RefusedError, fill

pytestmark = pytest.mark.cluster

COMPONENT = ROOT / "k8s/components/generated-secrets"
APP = {
    "secret_key",
    "secret_key_fallbacks",
    "database_url",
    "beat_database_url",
    "celery_broker_url",
    "email_url",
    "metrics_token",
    "alert_url",
    "heartbeat_ping_url",
    "owner_database_url",
    "backup_database_url",
    "backup_drill_url",
}


@pytest.fixture
def kubectl(cluster: Kubectl) -> Iterator[Kubectl]:
    """Give a namespace of its own, which is gone afterwards."""
    ours = Kubectl(cluster.kubeconfig, f"proj-test-{secrets.token_hex(4)}")
    ours("create", "namespace", ours.namespace)
    yield ours
    ours("delete", "namespace", ours.namespace, "--wait=false")


@pytest.fixture
def api(kubectl: Kubectl, tmp_path: Path) -> Api:
    """Give what the pod has: the empty Secrets, its ServiceAccount's rights, and its token."""
    apply_component(kubectl)
    view = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json"))
    server = view["clusters"][0]["cluster"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(server["certificate-authority-data"]))
    (tmp_path / "token").write_text(kubectl("create", "token", "secrets", "--duration=10m"))
    (tmp_path / "namespace").write_text(kubectl.namespace)
    address = urlsplit(server["server"])
    assert address.hostname
    assert address.port
    return Api((address.hostname, address.port), tmp_path)


def apply_component(kubectl: Kubectl) -> None:
    """Apply the component as the overlays do, without the pod, whose part the test plays."""
    kubectl("apply", "--filename", str(COMPONENT / "secrets.yaml"))
    kubectl("apply", "--filename", str(COMPONENT / "generator.yaml"))
    kubectl("scale", "deployment", "secrets", "--replicas=0")


def texts(kubectl: Kubectl, name: str) -> dict[str, str]:
    data = kubectl.one("secret", name).get("data", {})
    return {key: base64.b64decode(text).decode() for key, text in data.items()}


def test_what_is_missing_is_made_and_fits_together(kubectl: Kubectl, api: Api) -> None:
    fill(api, generator().missing)

    app, postgres, redis = (texts(kubectl, name) for name in ("app", "postgres", "redis"))
    assert app.keys() >= APP
    assert urlsplit(app["database_url"]).password == postgres["app_password"]
    assert urlsplit(app["owner_database_url"]).password == postgres["owner_password"]
    assert urlsplit(app["celery_broker_url"]).password == redis["app_password"]
    assert redis["redis.conf"] == generator().redis_users(redis)
    assert {key for key, text in app.items() if not text} == {
        "secret_key_fallbacks",
        "beat_database_url",
        "email_url",
        "alert_url",
        "heartbeat_ping_url",
        "backup_drill_url",
    }
    made = {app["secret_key"], app["metrics_token"], postgres["password"], redis["password"]}
    assert len(made) == 4
    assert min(map(len, made)) >= 40


def test_a_second_time_and_a_second_apply_change_nothing(kubectl: Kubectl, api: Api) -> None:
    fill(api, generator().missing)
    before = [kubectl.one("secret", name) for name in kubernetes_secrets.NAMES]

    assert fill(api, generator().missing) == []
    apply_component(kubectl)

    assert [kubectl.one("secret", name) for name in kubernetes_secrets.NAMES] == before


def test_what_a_person_set_stays_and_a_key_that_was_deleted_comes_back(
    kubectl: Kubectl, api: Api
) -> None:
    mine = {"stringData": {"database_url": "postgresql://me:pw@db.example/x"}}
    kubectl("patch", "secret", "app", "--type=merge", "--patch", json.dumps(mine))
    fill(api, generator().missing)
    gone = {"data": {"metrics_token": None}}
    kubectl("patch", "secret", "app", "--type=merge", "--patch", json.dumps(gone))

    assert fill(api, generator().missing) == ["app/metrics_token"]

    app = texts(kubectl, "app")
    assert app["database_url"] == "postgresql://me:pw@db.example/x"
    assert app.keys() >= APP


def test_a_key_that_somebody_else_writes_meanwhile_is_theirs(kubectl: Kubectl, api: Api) -> None:
    class Late(Api):
        """Reads; and before it writes, somebody else has written."""

        raced = False

        def patch(self, name: str, body: dict[str, Any]) -> None:
            if name == "postgres" and not self.raced:
                self.raced = True
                theirs = {"stringData": {"password": "theirs"}}
                kubectl("patch", "secret", name, "--type=merge", "--patch", json.dumps(theirs))
            super().patch(name, body)

    late = Late(api.address, api.account)
    written = fill(late, generator().missing)

    assert late.raced
    assert "postgres/password" not in written
    postgres = texts(kubectl, "postgres")
    assert postgres["password"] == "theirs"
    assert urlsplit(texts(kubectl, "app")["database_url"]).password == postgres["app_password"]


def test_the_pod_may_read_and_patch_these_three_and_nothing_else(
    kubectl: Kubectl, api: Api
) -> None:
    kubectl("create", "secret", "generic", "other", "--from-literal=key=text")

    with pytest.raises(RefusedError, match="GET secret other: 403"):
        api.get("other")
    with pytest.raises(RefusedError, match="PATCH secret other: 403"):
        api.patch("other", {"data": {}})
    account = f"--as=system:serviceaccount:{kubectl.namespace}:secrets"
    for verb, thing in (
        ("list", "secrets"), ("create", "secrets"), ("delete", "secrets/app"),
        ("update", "secrets/app"), ("get", "pods"), ("create", "pods"),
    ):  # fmt: skip
        status, said = kubectl.status("auth", "can-i", verb, thing, account)
        assert status == 1, (verb, thing, said)


def test_a_secret_that_is_not_there_is_named(kubectl: Kubectl, api: Api) -> None:
    kubectl("delete", "secret", "redis")

    with pytest.raises(RefusedError, match='GET secret redis: 404 secrets "redis" not found'):
        fill(api, generator().missing)


class Make:
    """`make secret` in a tree with one overlay, whose namespace is the test's."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self.kubectl = kubectl
        self.folder = folder
        for part in ("deploy/k8s", "docker"):
            shutil.copytree(ROOT / part, folder / part)
        shutil.copy(ROOT / "deploy/__init__.py", folder / "deploy")
        overlay = folder / "deploy/overlays/mine"
        overlay.mkdir(parents=True)
        (overlay / "kustomization.yaml").write_text(f"namespace: {kubectl.namespace}\n")
        namespace = (ROOT / "deploy/overlays/prod/namespace.yaml").read_text("utf-8")
        (overlay / "namespace.yaml").write_text(namespace.replace("proj-prod", kubectl.namespace))

    def __call__(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, self.folder / "deploy/k8s/secret", "mine"],
            env={**self.kubectl.env, **env}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip


@pytest.fixture
def make(kubectl: Kubectl, tmp_path: Path) -> Make:
    return Make(kubectl, tmp_path / "tree")


def test_a_person_makes_the_secrets_and_none_is_shown(kubectl: Kubectl, make: Make) -> None:
    url = "smtp+tls://me:pw-of-mail@mail.example:587"

    done = make(EMAIL_URL=url)

    assert done.returncode == 0, done.stderr
    app = texts(kubectl, "app")
    assert app.keys() >= APP
    assert app["email_url"] == url
    assert urlsplit(app["database_url"]).password == texts(kubectl, "postgres")["app_password"]
    shown = done.stdout + done.stderr
    assert not any(text in shown for text in app.values() if text)


def test_made_again_they_stay_but_for_what_a_person_names(
    kubectl: Kubectl, make: Make, tmp_path: Path
) -> None:
    make()
    before = {name: texts(kubectl, name) for name in kubernetes_secrets.NAMES}
    file = tmp_path / "url"
    file.write_text("redis://:pw@cache.example:6379/0\n")

    assert "nothing to set" in make().stdout
    done = make(CELERY_BROKER_URL_FILE=str(file))

    assert "secret app: set celery_broker_url" in done.stdout
    assert "kubectl rollout restart" in done.stdout
    before["app"] |= {
        "celery_broker_url": "redis://:pw@cache.example:6379/0",
        # What KEDA reads follows.
        "keda_redis_address": "cache.example:6379",
        "keda_redis_username": "",
        "keda_redis_password": "pw",
    }
    assert {name: texts(kubectl, name) for name in kubernetes_secrets.NAMES} == before


def test_a_file_that_is_not_there_is_named(make: Make) -> None:
    done = make(EMAIL_URL_FILE="/nowhere/url")

    assert done.returncode == 1
    assert "EMAIL_URL_FILE='/nowhere/url': No such file or directory" in done.stderr
