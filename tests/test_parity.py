"""Compose and Kubernetes run the same thing: what one place says, the other says too."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from .containers import ROOT, clean_env, need_compose, run, without

OVERLAYS = sorted(folder.parent.name for folder in ROOT.glob("deploy/overlays/*/namespace.yaml"))
POOLS = sorted(
    f"worker-{path.parent.name}" for path in ROOT.glob("k8s/base/pools/*/kustomization.yaml")
)
#: A service of compose, and the workloads that do its work.
WORKLOADS = {
    "web": ["web"],
    "worker": POOLS,
    "beat": ["beat"],
    "postgres": ["postgres"],
    "redis": ["redis"],
}
PAIRS = [(service, name) for service, names in WORKLOADS.items() for name in names]
ROLES = [pair for pair in PAIRS if pair[0] in {"web", "worker", "beat"}]
STORES = [pair for pair in PAIRS if pair not in ROLES]

Object = dict[str, Any]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_pair = pytest.mark.parametrize(("service", "name"), PAIRS)
each_role = pytest.mark.parametrize(("service", "name"), ROLES)
each_store = pytest.mark.parametrize(("service", "name"), STORES)


@cache
def compose() -> dict[str, Object]:
    """Return compose's services, as Compose itself reads the file without a person's .env."""
    need_compose()
    command = ("docker", "compose", "--env-file=/dev/null", "config", "--format=json")
    services: dict[str, Object] = json.loads(run(*command, cwd=ROOT, env=clean_env()).stdout)[
        "services"
    ]
    return services


@cache
def rendered(overlay: str) -> list[Object]:
    """Return the objects of an overlay, as kubectl applies them."""
    if not shutil.which("kubectl"):
        without("kubectl is not installed")
    text = run("kubectl", "kustomize", ROOT / "deploy/overlays" / overlay).stdout
    return list(yaml.safe_load_all(text))


def one(overlay: str, kind: str, name: str) -> Object:
    """Return the object of a kind and a name; generated names end in a hash."""
    found = [
        thing
        for thing in rendered(overlay)
        if thing["kind"] == kind and thing["metadata"]["name"].startswith(name)
    ]
    assert len(found) == 1, f"{overlay}: {len(found)} of {kind} {name}"
    return found[0]


def pod(overlay: str, name: str) -> Object:
    """Return the pod of the Deployment or StatefulSet *name*."""
    kind = "StatefulSet" if name in {"postgres", "redis"} else "Deployment"
    spec: Object = one(overlay, kind, name)["spec"]["template"]["spec"]
    return spec


def container(overlay: str, name: str) -> Object:
    """Return the one container of a workload."""
    (found,) = pod(overlay, name)["containers"]
    return dict(found)


def seconds(duration: str) -> int:
    """Read one of Compose's durations, such as 1m0s."""
    minutes, _, rest = duration.rpartition("m")
    return int(minutes or 0) * 60 + int(rest.removesuffix("s"))


def mebibytes(size: str) -> int:
    """Read one of Kubernetes' sizes, such as 1Gi."""
    number, unit = int(size[:-2]), size[-2:]
    return number * {"Mi": 1, "Gi": 1024}[unit]


@each_overlay
@each_pair
def test_a_role_is_the_same_command(overlay: str, service: str, name: str) -> None:
    ours = container(overlay, name)
    if "command" in ours:
        # A server, behind the lock of its volume: by the image's own entrypoint, and what it runs
        # unless it is told otherwise.
        program, no_fork, lock, entrypoint = ours["command"]
        assert (program, no_fork, entrypoint) == ("flock", "--no-fork", "docker-entrypoint.sh")
        (data,) = (m["mountPath"] for m in ours["volumeMounts"] if m["name"] == f"{name}-data")
        assert lock == f"{data}/.lock"
        assert ours["args"] == (compose()[service]["command"] or [name])
    else:
        assert ours.get("args") == compose()[service]["command"]


@each_overlay
def test_web_migrates_first_by_the_command_of_composes_migrate(overlay: str) -> None:
    (schema,) = pod(overlay, "web")["initContainers"]

    assert schema["args"] == compose()["migrate"]["command"] == ["migrate"]


@each_overlay
@pytest.mark.parametrize("name", [*POOLS, "beat"])
def test_the_others_wait_for_it_as_in_compose(overlay: str, name: str) -> None:
    (schema,) = pod(overlay, name)["initContainers"]

    assert schema["args"] == ["wait-migrated"]
    for service in ("worker", "beat"):
        needs = compose()[service]["depends_on"]["migrate"]
        assert needs["condition"] == "service_completed_successfully"


@each_overlay
@each_role
def test_a_role_has_the_same_environment(overlay: str, service: str, name: str) -> None:
    shared = one(overlay, "ConfigMap", "app-env")["data"]
    own = {each["name"]: each.get("value") for each in container(overlay, name)["env"]}
    # Those that are empty there keep secrets of .env out; a cluster's come from Secrets.
    wanted = {key: text for key, text in compose()[service]["environment"].items() if text}
    # Compose's own proxy; on Kubernetes it is the Ingress or the Gateway.
    for ours in ("TRUSTED_PROXIES", "OPS_PROXY"):
        wanted.pop(ours, None)

    # Those of an overlay's own app.env are what a person writes into .env for compose.
    differs = set(read_env(ROOT / "deploy/overlays" / overlay / "app.env"))
    both = {**shared, **own}
    # What only Kubernetes tells its pods, for the checks: test_manifests.py compares these.
    for ours in ("WEB_REPLICAS", "WORKER_REPLICAS", "BEAT_REPLICAS", "TERMINATION_GRACE_PERIOD"):
        both.pop(ours, None)
    for ours in {"WORKER_QUEUES", "WORKER_BATCH"} & own.keys():  # each pool has its own
        assert both.pop(ours) is None
        wanted = {key: value for key, value in wanted.items() if key != ours}
    assert {k: v for k, v in both.items() if k not in differs} == {
        k: v for k, v in wanted.items() if k not in differs
    }


def read_env(file: Path) -> dict[str, str]:
    """Read a file of NAME=value lines, if it is there."""
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@each_overlay
def test_the_pools_take_every_queue_that_composes_worker_takes(overlay: str) -> None:
    queues: list[str] = []
    for name in WORKLOADS["worker"]:
        template = one(overlay, "Deployment", name)["spec"]["template"]
        queues += template["metadata"]["annotations"]["queues"].split(",")
        (found,) = [e for e in container(overlay, name)["env"] if e["name"] == "WORKER_QUEUES"]
        assert found["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['queues']"

    assert sorted(queues) == sorted(compose()["worker"]["environment"]["WORKER_QUEUES"].split(","))


@each_overlay
@each_store
def test_a_store_is_the_same_image_with_the_same_environment(
    overlay: str, service: str, name: str
) -> None:
    ours = container(overlay, name)

    assert ours["image"] == compose()[service]["image"]
    assert {each["name"]: each["value"] for each in ours.get("env", ())} == compose()[service].get(
        "environment", {}
    )


@each_overlay
def test_one_image_runs_every_role(overlay: str) -> None:
    images = {
        each["image"]
        for _, name in ROLES
        for each in (*pod(overlay, name)["containers"], *pod(overlay, name)["initContainers"])
    }

    assert len(images) == 1
    assert {compose()[service]["image"] for service, _ in ROLES} == {"proj:local"}


@each_overlay
def test_what_listens_in_compose_has_a_service_of_the_same_name(overlay: str) -> None:
    ports = {"web": 80, "postgres": 5432, "redis": 6379}
    for name, port in ports.items():
        service = one(overlay, "Service", name)["spec"]
        (entry,) = service["ports"]
        (listens,) = container(overlay, name)["ports"]
        assert entry["port"] == port
        assert entry["targetPort"] == listens["name"]
    (web,) = container(overlay, "web")["ports"]
    assert f":{web['containerPort']}" == compose()["web"]["environment"]["WEB_BIND"]


@each_overlay
@each_pair
def test_the_probes_ask_what_compose_asks_as_often(overlay: str, service: str, name: str) -> None:
    check = compose()[service]["healthcheck"]
    kind, *command = (word.replace("$$", "$") for word in check["test"])
    if kind == "CMD-SHELL":
        command = ["sh", "-c", *command]
    ours = container(overlay, name)

    readiness, liveness, startup = (
        ours[f"{kind}Probe"] for kind in ("readiness", "liveness", "startup")
    )
    assert readiness["exec"]["command"] == command
    # From liveness no probe of web may ask the database: a restart would not mend that.
    live = [word.replace("readyz", "livez") for word in command]
    assert liveness["exec"]["command"] == startup["exec"]["command"] == live
    for probe in (readiness, liveness):
        assert probe["periodSeconds"] == seconds(check["interval"])
        assert probe["failureThreshold"] == check["retries"]
    assert startup["periodSeconds"] == seconds(check["start_interval"])
    # A container that is killed in its start begins again; compose never kills one for that.
    assert startup["failureThreshold"] >= seconds(check["start_period"])
    assert {p["timeoutSeconds"] for p in (readiness, liveness, startup)} == {
        seconds(check["timeout"])
    }


@each_overlay
@each_pair
def test_a_stop_may_take_as_long(overlay: str, service: str, name: str) -> None:
    grace = pod(overlay, name)["terminationGracePeriodSeconds"]
    if service == "web":
        # Kubernetes counts the preStop command too, which waits for proxies to turn away.
        program, pause = container(overlay, name)["lifecycle"]["preStop"]["exec"]["command"]
        assert program == "docker/drain"
        grace -= int(pause)

    assert grace == seconds(compose()[service]["stop_grace_period"])


@each_overlay
@each_pair
def test_memory_ends_at_the_same_limit(overlay: str, service: str, name: str) -> None:
    limit = mebibytes(container(overlay, name)["resources"]["limits"]["memory"])

    assert limit * 1024**2 == int(compose()[service]["mem_limit"])


@each_overlay
@each_pair
def test_the_same_folders_can_be_written_and_nothing_else(
    overlay: str, service: str, name: str
) -> None:
    theirs = {each.partition(":")[0] for each in compose()[service].get("tmpfs", ())}
    theirs |= {m["target"] for m in compose()[service]["volumes"] if not m.get("read_only")}
    theirs |= {"/dev/shm"} if "shm_size" in compose()[service] else set()  # noqa: S108
    ours = {
        m["mountPath"] for m in container(overlay, name)["volumeMounts"] if not m.get("readOnly")
    }

    assert ours == theirs
    assert compose()[service]["read_only"] is True


@each_overlay
def test_every_container_is_as_locked_down_as_composes(overlay: str) -> None:
    templates = [
        thing["spec"]["template"]["spec"]
        for thing in rendered(overlay)
        if thing["kind"] in {"Deployment", "StatefulSet"}
    ]
    assert len(templates) >= len(PAIRS)
    for spec in templates:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            assert each["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            for kind in ("requests", "limits"):
                assert each["resources"][kind].keys() == {"cpu", "memory", "ephemeral-storage"}


@each_overlay
@each_store
def test_a_store_runs_as_the_same_user(overlay: str, service: str, name: str) -> None:
    context = pod(overlay, name)["securityContext"]

    assert f"{context['runAsUser']}:{context['runAsGroup']}" == compose()[service]["user"]


@each_overlay
def test_no_secret_lies_in_git(overlay: str) -> None:
    found = [thing for thing in rendered(overlay) if thing["kind"] == "Secret"]

    assert {thing["metadata"]["name"] for thing in found} == {"app", "postgres", "redis"}
    assert not any(thing.keys() & {"data", "stringData"} for thing in found)
