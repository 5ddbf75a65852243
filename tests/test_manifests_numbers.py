"""What pods are told about themselves is so, and so is what the pages say of the manifests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .containers import ROOT, run
from .manifests import Object, app_env, each_one, need, objects, one


def most_pods(found: list[Object]) -> dict[str, int]:
    """Return how many pods each role may have: its autoscaler's maximum, or its own number."""
    scalers = [o["spec"] for o in found if "scaleTargetRef" in o.get("spec", {})]
    most = {
        s["scaleTargetRef"]["name"]: int(s.get("maxReplicas") or s["maxReplicaCount"])
        for s in scalers
    }
    roles = dict.fromkeys(("web", "worker", "beat"), 0)
    for thing in found:
        role = thing["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if thing["kind"] == "Deployment" and role in roles:
            name = thing["metadata"]["name"]
            roles[role] += most[name] if name in most else int(thing["spec"]["replicas"])
    return roles


@each_one
def test_the_pods_know_how_many_they_are(rendered: dict[str, Path], name: str) -> None:
    found = objects(rendered[name])
    told = app_env(found)
    assert {r: int(told[f"{r.upper()}_REPLICAS"]) for r in ("web", "worker", "beat")} == (
        most_pods(found)
    ), "correct replicas.env, in k8s/base or in the autoscaling component"


@each_one
def test_each_worker_knows_when_it_is_killed(rendered: dict[str, Path], name: str) -> None:
    found = objects(rendered[name])
    pools = [o for o in found if o["kind"] == "Deployment" and "pool" in o["metadata"]["labels"]]
    assert pools
    for deployment in pools:
        spec = deployment["spec"]["template"]["spec"]
        env = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
        told = {**app_env(found), **env}
        grace = spec["terminationGracePeriodSeconds"]
        assert grace == int(told["TERMINATION_GRACE_PERIOD"]) == int(told["WORKER_GRACE_PERIOD"])


#: Beside the pods': 3 for superusers, a backup, the autoscaler of each of two pools.
OTHER_CONNECTIONS = 6


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("prod", "postgres"),
        ("prod+autoscaling", "autoscaling"),
        ("prod+autoscaling-cpu", "autoscaling-cpu"),
    ],
)
def test_the_connections_of_a_roll_out_fit_and_the_readme_says_how_many_they_are(
    rendered: dict[str, Path],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    component: str,
) -> None:
    from durable.checks import capacity
    from proj.celery import app

    env = app_env(objects(rendered[name]))
    for key in ("WEB_REPLICAS", "WORKER_REPLICAS", "BEAT_REPLICAS", "WEB_THREADS"):
        setattr(settings, key, int(env[key]))
    monkeypatch.setenv("WEB_CONCURRENCY", env["WEB_CONCURRENCY"])
    monkeypatch.delenv("DATABASE_POOL_MAX_SIZE", raising=False)
    monkeypatch.setitem(app.conf, "worker_concurrency", int(env["CELERY_WORKER_CONCURRENCY"]))
    groups = capacity.groups()
    page = f"k8s/components/{component}/README.md"
    readme = " ".join((ROOT / page).read_text("utf-8").split())
    said = re.findall(r"takes? up to (\d+) (?:of|connections)", readme)
    total = sum(group.total for group in groups)
    assert said == [str(total)], f"{page} should say that the pods take up to {total} connections"
    # No new pod waits for an old one's end, whatever maxSurge says: that counts who is not ending.
    at_worst = 2 * total
    assert f"hold{'s' * (component == 'postgres')} up to {at_worst}" in readme, page
    if component == "postgres":
        each = ", ".join(f"{group.role} {group.each}" for group in groups)
        assert f"Connections of a pod: {each}" in readme
        server = one(objects(rendered[name]), "StatefulSet", "postgres")["spec"]["template"]["spec"]
        (limit,) = re.findall(r"max_connections=(\d+)", str(server["containers"][0]["args"]))
        assert f"PostgreSQL takes {limit} connections" in readme
    else:
        patch = (ROOT / "k8s/components/postgres/README.md").read_text("utf-8")
        (limit,) = re.findall(r"max_connections=(\d+)", patch)
    assert at_worst + OTHER_CONNECTIONS <= int(limit)


def test_the_readme_lists_every_setting_that_a_secret_holds(rendered: dict[str, Path]) -> None:
    app = one(objects(rendered["prod"]), "Deployment", "web")["spec"]["template"]["spec"]
    names = {e["name"].removesuffix("_FILE") for e in app["containers"][0]["env"]
             if e.get("value", "").startswith("/run/secrets/")}  # fmt: skip
    files = ("k8s/components/backup/cronjob.yaml", "k8s/base/web.yaml")
    texts = "".join((ROOT / file).read_text("utf-8") for file in files)
    names |= set(re.findall(r"name: (\w+)_FILE, value: /run/secrets/", texts))
    readme = (ROOT / "k8s/README.md").read_text("utf-8")
    (row,) = re.findall(r"^\| set a secret \((.*?)\) \|", readme, re.MULTILINE)
    assert set(re.findall(r"`([A-Z_]+)`", row)) == names


def test_the_patches_that_the_readme_shows_do_what_it_says(tmp_path: Path) -> None:
    readme = (ROOT / "k8s/README.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(patches:.*?)```", readme, re.DOTALL)
    patches = [patch for block in blocks for patch in yaml.safe_load(block)["patches"]]
    for part in ("k8s", "deploy/backup", "deploy/postgres", "deploy/overlays"):
        shutil.copytree(ROOT / part, tmp_path / part)
    overlay = tmp_path / "deploy/overlays/prod/kustomization.yaml"
    text = overlay.read_text("utf-8")
    (pins,) = re.findall(r"```yaml\n(images:.*?)```", readme, re.DOTALL)
    lines = {**yaml.safe_load(text), "patches": patches}
    lines["images"] += yaml.safe_load(pins)["images"]
    overlay.write_text(yaml.safe_dump(lines), "utf-8")
    found = list(yaml.safe_load_all(run(need("kubectl"), "kustomize", overlay.parent).stdout))

    images = set(re.findall(r"image: (.*)", yaml.safe_dump_all(found)))
    assert images == {"proj:local", "postgres:18.1", "redis:8.4.0"}
    accounts = [o for o in found if o["kind"] == "ServiceAccount"]
    assert accounts
    assert all(o["imagePullSecrets"] == [{"name": "pull"}] for o in accounts)
    for pool in ("default", "reports"):
        spec = one(found, "Deployment", f"worker-{pool}")["spec"]["template"]["spec"]
        env = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
        assert spec["terminationGracePeriodSeconds"] == 300
        assert env["TERMINATION_GRACE_PERIOD"] == "300"


def test_a_vault_may_hold_every_key_that_the_pods_or_keda_read(rendered: dict[str, Path]) -> None:
    found = objects(rendered["managed+scaled"])
    template = one(found, "ExternalSecret", "app")["spec"]["target"]["template"]["data"]
    web = one(found, "Deployment", "web")["spec"]["template"]["spec"]
    (secret,) = [v["secret"] for v in web["volumes"] if v["name"] == "secrets"]
    backup = objects(rendered["managed"])
    job = one(backup, "CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (other,) = [
        v["secret"] for v in job["volumes"] if v.get("secret", {}).get("secretName") == "app"
    ]
    keda = one(found, "TriggerAuthentication", "stores")["spec"]["secretTargetRef"]
    (owner,) = [v["secret"] for v in web["volumes"] if v["name"] == "owner"]
    read = {item["key"] for item in (*secret["items"], *owner["items"], *other["items"], *keda)}
    assert set(template) == read


def test_an_image_of_another_major_version_is_refused_with_what_to_do(
    rendered: dict[str, Path], tmp_path: Path
) -> None:
    """Its server would start empty beside the data; the check runs as it stands in the manifest."""
    server = one(objects(rendered["prod+all"]), "StatefulSet", "postgres")["spec"]["template"]
    (check,) = server["spec"]["initContainers"]
    (container,) = server["spec"]["containers"]
    assert check["image"] == container["image"]
    (volume,) = check["volumeMounts"]
    assert check["workingDir"] == volume["mountPath"]
    assert volume in container["volumeMounts"]

    def said(major: str) -> str:
        env = {**os.environ, "PG_MAJOR": major, "PGDATA": str(tmp_path / major / "docker")}
        done = subprocess.run(
            check["command"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is (done.stderr == "")
        return done.stderr

    assert said("18") == "", "an empty volume"
    (data := tmp_path / "18" / "docker").mkdir(parents=True)
    assert said("19") == "", "an empty folder is no data"
    (data / "PG_VERSION").write_text("18\n", "ascii")
    for other in ("17", "19"):
        assert said(other).startswith(
            f"the image is PostgreSQL {other}, and the volume postgres-data holds the data of "
            "PostgreSQL 18: name postgres:18 in the overlay again"
        )
    assert "k8s/components/postgres/README.md" in said("19")
    assert said("18") == ""
    (data.parent / "left").touch()
    assert said("18") == "", "while they are in use"
    assert (data / "PG_VERSION").exists()
    assert said("19") == "", "they were dumped"
    assert (data.parent / "kept/PG_VERSION").exists()
