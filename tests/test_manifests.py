"""Every overlay and every sensible combination of components renders, is valid, and is sound.

The combinations are one list (manifests.py), what the linters may say another one
(k8s/accepted-findings.yaml), each with its reason.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from durable.queue.states import STATES

from .containers import ROOT, run, without
from .manifests import COMBINATIONS, GENERATED, Object, app_env, each_one, need, objects, one

ACCEPTED = ROOT / "k8s" / "accepted-findings.yaml"
#: Kinds of which no schema is on the machine: kubeconform has Kubernetes' own and KEDA's.
UNKNOWN = {
    "Certificate": "cert-manager",
    "Cluster": "CloudNativePG",
    "ExternalSecret": "External Secrets",
    "Gateway": "Gateway API",
    "HTTPRoute": "Gateway API",
    "Issuer": "cert-manager",
    "PrometheusRule": "Prometheus Operator; promtool reads the rules below",
    "ServiceMonitor": "Prometheus Operator",
}


class Finding(NamedTuple):
    """What a linter says, of which object, in which combination."""

    check: str
    thing: str
    where: str


@pytest.fixture(scope="module")
def checkov() -> str:
    """Return checkov, in an environment of its own: it pins what others need newer."""
    folder, lock = ROOT / ".venv-checkov", ROOT / "requirements" / "checkov.txt"
    program, stamp = folder / "bin" / "checkov", folder / "lock"
    if not (stamp.is_file() and stamp.read_bytes() == lock.read_bytes()):
        uv = Path(sys.executable).with_name("uv")
        if not uv.exists():
            without("uv is not installed beside Python (`make lint` makes such a .venv)")
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        python = folder / "bin" / "python"
        synced = run(
            uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock,
            check=False, timeout=600, env=os.environ,  # where the packages come from
        )  # fmt: skip
        if synced.returncode:
            without(f"checkov can't be installed: {synced.stderr.strip().splitlines()[-1]}")
        stamp.write_bytes(lock.read_bytes())
    return str(program)


def accepted(tool: str) -> dict[str, list[dict[str, Any]]]:
    """Return the reasons for each check: one, or a list of those that differ by object or place."""
    found = yaml.safe_load(ACCEPTED.read_text("utf-8"))[tool]
    return {check: said if isinstance(said, list) else [said] for check, said in found.items()}


def explains(reason: dict[str, Any], finding: Finding) -> bool:
    return finding.thing in reason.get("only", [finding.thing]) and (
        finding.where in reason.get("where", [finding.where])
    )


def judge(tool: str, findings: set[Finding]) -> None:
    """Fail at a finding without a reason, and at a reason without a finding."""
    every = [(check, reason) for check, reasons in accepted(tool).items() for reason in reasons]
    explained: set[Finding] = set()
    for check, reason in every:
        assert reason["why"], check
        found = {each for each in findings if each.check == check and explains(reason, each)}
        explained |= found
        assert found, f"{ACCEPTED.name}: nothing is found for {check}"
        for key, places in (
            ("only", {f.thing for f in found}),
            ("where", {f.where for f in found}),
        ):
            unused = set(reason.get(key, ())) - places
            assert not unused, f"{ACCEPTED.name}: nothing is found for {check} {unused}"
    assert not findings - explained, sorted(findings - explained)


def test_every_component_is_in_some_combination() -> None:
    there = {path.parent.name for path in ROOT.glob("k8s/components/*/kustomization.yaml")}
    listed = {component for each in COMBINATIONS for component in each.components}
    assert there <= listed


def test_every_component_has_a_readme() -> None:
    folders = [path.parent for path in ROOT.glob("k8s/components/*/kustomization.yaml")]
    missing = {each.name for each in folders if not (each / "README.md").is_file()}
    assert missing - set(GENERATED) == set()


@each_one
def test_it_is_valid(rendered: dict[str, Path], name: str) -> None:
    skipped = ",".join(UNKNOWN)
    # Where the schemas are, if kubeconform's own place isn't enough.
    places = [
        f"-schema-location={place}" for place in os.environ.get("KUBECONFORM_SCHEMAS", "").split()
    ]
    run(need("kubeconform"), *places, "-strict", "-summary", "-skip", skipped, rendered[name])


@each_one
def test_nothing_is_defined_twice_or_outside_of_its_namespace(
    rendered: dict[str, Path], name: str
) -> None:
    found = objects(rendered[name])
    keys = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(keys) == len(set(keys))
    (space,) = [each["metadata"]["name"] for each in found if each["kind"] == "Namespace"]
    others = {each["metadata"].get("namespace") for each in found if each["kind"] != "Namespace"}
    assert others == {space}


@each_one
def test_what_is_scaled_has_no_number_of_its_own(rendered: dict[str, Path], name: str) -> None:
    found = objects(rendered[name])
    targets = [each.get("spec", {}).get("scaleTargetRef") for each in found]
    scaled = {target["name"] for target in targets if target}
    numbers = {
        each["metadata"]["name"]
        for each in found
        if each["kind"] == "Deployment" and "replicas" in each["spec"]
    }
    assert scaled & numbers == set()
    assert scaled | numbers >= {"web", "worker-default", "worker-reports"}


@pytest.mark.parametrize("component", ["autoscaling", "autoscaling-cpu"])
def test_an_autoscaled_worker_has_time_for_the_longest_task(
    rendered: dict[str, Path], component: str
) -> None:
    from django.conf import settings

    for pool in ("default", "reports"):
        deployment = one(objects(rendered[f"prod+{component}"]), "Deployment", f"worker-{pool}")
        spec = deployment["spec"]["template"]["spec"]
        env = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
        soft = float(env["CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT"])
        assert soft > settings.CELERY_TASK_TIME_LIMIT
        assert spec["terminationGracePeriodSeconds"] == int(env["WORKER_GRACE_PERIOD"]) >= soft + 35


def test_each_pool_is_scaled_by_its_own_queues(rendered: dict[str, Path]) -> None:
    found = objects(rendered["prod+autoscaling"])
    settings = app_env(found)
    for pool in ("default", "reports"):
        queues = one(found, "Deployment", f"worker-{pool}")["metadata"]["annotations"]["queues"]
        scaler = one(found, "ScaledObject", f"worker-{pool}")["spec"]
        rows, *lists = (trigger["metadata"] for trigger in scaler["triggers"])
        assert f"string_to_array('{queues}', ',')" in rows["query"]
        assert f"/ '{settings['CELERY_WORKER_CONCURRENCY']}'::" in rows["query"]
        assert [each["listName"] for each in lists] == queues.split(",")
        assert {each["listLength"] for each in lists} == {settings["CELERY_WORKER_CONCURRENCY"]}


@pytest.mark.parametrize("component", ["ingress", "gateway"])
def test_the_host_stands_in_one_place(rendered: dict[str, Path], component: str) -> None:
    found = objects(rendered[f"prod+{component}"])
    settings = app_env(found)
    host = settings["SITE_HOST"]
    assert (settings["HTTPS_ONLY"], settings["TRUSTED_PROXIES"]) == ("true", "1")
    if component == "ingress":
        spec = one(found, "Ingress", "web")["spec"]
        assert [rule["host"] for rule in spec["rules"]] == spec["tls"][0]["hosts"] == [host]
    else:
        listeners = one(found, "Gateway", "web")["spec"]["listeners"]
        assert {listener["hostname"] for listener in listeners} == {host}


def test_kube_score_finds_nothing_that_is_not_explained(rendered: dict[str, Path]) -> None:
    findings = set()
    for name, file in rendered.items():
        said = run(need("kube-score"), "score", "--output-format=json", file, check=False).stdout
        for thing in json.loads(said):
            title = f"{thing['type_meta']['kind']} {thing['object_meta']['name']}"
            for check in thing["checks"]:
                if not check["skipped"] and check["grade"] < 10:
                    findings.add(Finding(check["check"]["id"], title, name))
    judge("kube-score", findings)


@pytest.mark.timeout(1800)
def test_checkov_finds_nothing_that_is_not_explained(
    rendered: dict[str, Path], checkov: str
) -> None:
    folder = next(iter(rendered.values())).parent
    said = run(
        checkov, "--directory", folder, "--framework=kubernetes", "--quiet", "--compact",
        "--output=json", check=False, timeout=600,
    ).stdout  # fmt: skip
    report = json.loads(said)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    findings = set()
    for failed in report["results"]["failed_checks"]:
        kind, _, rest = failed["resource"].partition(".")
        title = f"{kind} {rest.rpartition('.')[2]}"
        findings.add(Finding(failed["check_id"], title, Path(failed["file_path"]).stem))
    judge("checkov", findings)


def rules() -> Iterator[Object]:
    for each in yaml.safe_load_all((ROOT / "k8s/components/monitoring/alerts.yaml").read_text()):
        yield from each["spec"]["groups"]


def test_promtool_can_read_the_alerts(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": list(rules())}), "utf-8")
    assert "SUCCESS" in run(need("promtool"), "check", "rules", file).stdout


def test_every_alert_asks_for_what_is_measured_and_the_page_lists_it() -> None:
    files = [path for part in ("durable", "apps") for path in ROOT.glob(f"{part}/*/metrics.py")]
    named = re.findall(r'"(proj_\w+)"', "".join(path.read_text("utf-8") for path in files))
    measured = {*named, *(f"proj_tasks_{state}" for state in STATES)}
    page = (ROOT / "k8s/components/monitoring/README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(proj_\w+)", page, re.MULTILINE)) == measured
    for rule in (rule for group in rules() for rule in group["rules"]):
        assert set(re.findall(r"proj_\w+", rule["expr"])) <= measured, rule["alert"]


def test_the_sidecar_of_grafana_finds_the_dashboards_by_their_label(
    rendered: dict[str, Path],
) -> None:
    dashboards = one(objects(rendered["prod+monitoring"]), "ConfigMap", "dashboards")
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    boards = {name: json.loads(text) for name, text in dashboards["data"].items()}
    assert {name.removesuffix(".json") for name in boards} == {b["uid"] for b in boards.values()}
    for board in boards.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
