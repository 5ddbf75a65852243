"""Each alert fires and does not, by promtool and by beat alike, and its page's commands run."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from durable.alerts import prometheus
from durable.alerts.conditions import GROWTH, WINDOW, Measured
from durable.alerts.rules import RULES, Rule

from .containers import ROOT, run
from .manifests import need

PAGES = ROOT / "docs/runbooks"
FILE = ROOT / "k8s/components/monitoring/alerts.yaml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["spec"]["groups"][0]["rules"]
NS = 'namespace="proj"'
OF = f'{{{NS}, task="t", queue="q"}}'

#: Of each alert its labels, series with which it fires, and series with which it does not: values
#: of each minute, as promtool writes them. Two pods say the same, and one may be stuck.
SERIES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "TasksUntaken": (
        {"queue": "q"},
        {f'proj_tasks_untaken{{{NS}, queue="q", pod="a"}}': "1x180"},
        {f'proj_tasks_untaken{{{NS}, queue="q", pod="a"}}': "0x180"},
    ),
    "TasksWaitTooLong": (
        {"queue": "q"},
        {f'proj_oldest_ready_seconds{{{NS}, queue="q"}}': "601x180"},
        {f'proj_oldest_ready_seconds{{{NS}, queue="q"}}': "600x180"},
    ),
    "CanaryLate": (
        {"queue": "q"},
        {f'proj_canary_seconds{{{NS}, queue="q"}}': "0+60x180"},
        {f'proj_canary_seconds{{{NS}, queue="q"}}': "600x180"},
    ),
    "TasksFail": (
        {"task": "t"},
        {f"proj_tasks_failed_total{OF}": "0+1x180", f"proj_tasks_done_total{OF}": "0+3x180"},
        {f"proj_tasks_failed_total{OF}": "0+1x180", f"proj_tasks_done_total{OF}": "0+9x180"},
    ),
    "AttemptsDie": (
        {"task": "t"},
        {f"proj_tasks_died_total{OF}": "0+1x180"},
        {f"proj_tasks_died_total{OF}": "5x180"},
    ),
    "TasksInQuarantine": (
        {"queue": "q"},
        {f'proj_tasks_quarantined{{{NS}, queue="q"}}': "1x180"},
        {f'proj_tasks_quarantined{{{NS}, queue="q"}}': "0x180"},
    ),
    "NoBeatLeads": (
        {},
        {f"proj_beat_leads{{{NS}}}": "0x180"},
        {f'proj_beat_leads{{{NS}, pod="a"}}': "0x180",
         f'proj_beat_leads{{{NS}, pod="b"}}': "1x180"},
    ),
    "ScheduleMissed": (
        {},
        {f"proj_schedules_late{{{NS}}}": "1x180"},
        {f"proj_schedules_late{{{NS}}}": "1 0x179"},
    ),
    "MigrationsPending": (
        {},
        {f"proj_migrations_pending{{{NS}}}": "2x180"},
        {f"proj_migrations_pending{{{NS}}}": "0x180"},
    ),
    "VersionSkew": (
        {},
        {f"proj_versions{{{NS}}}": "2x180"},
        {f"proj_versions{{{NS}}}": "1x130 2x50"},
    ),
    "BrokerAway": (
        {},
        {f"proj_broker_up{{{NS}}}": "0x180"},
        {f"proj_broker_up{{{NS}}}": "1x180"},
    ),
    "BrokerNearLimit": (
        {},
        {f"proj_broker_memory_bytes{{{NS}}}": "90x180",
         f"proj_broker_memory_limit_bytes{{{NS}}}": "100x180"},
        {f"proj_broker_memory_bytes{{{NS}}}": "90x180",
         f"proj_broker_memory_limit_bytes{{{NS}}}": "0x180"},
    ),
    "BrokerEvicts": (
        {},
        {f"proj_broker_evicted_total{{{NS}}}": "0+1x180"},
        {f"proj_broker_evicted_total{{{NS}}}": "7x180"},
    ),
    "RequestsFail": (
        {},
        {f'proj_http_requests_total{{{NS}, route="r", status="500"}}': "0+1x180",
         f'proj_http_requests_total{{{NS}, route="r", status="200"}}': "0+9x180"},
        {f'proj_http_requests_total{{{NS}, route="r", status="500"}}': "0+1x180",
         f'proj_http_requests_total{{{NS}, route="r", status="200"}}': "0+30x180"},
    ),
    "ConnectionsNearLimit": (
        {},
        {f"proj_database_connections{{{NS}}}": "90x180",
         f"proj_database_connections_limit{{{NS}}}": "100x180"},
        {f"proj_database_connections{{{NS}}}": "80x180",
         f"proj_database_connections_limit{{{NS}}}": "100x180"},
    ),
    "TransactionOpen": (
        {},
        {f"proj_database_transaction_seconds{{{NS}}}": "0+60x180"},
        {f"proj_database_transaction_seconds{{{NS}}}": "60x180"},
    ),
    "DiskFull": (
        {"folder": "/srv"},
        {f'proj_disk_used_ratio{{{NS}, folder="/srv"}}': "0.95x180"},
        {f'proj_disk_used_ratio{{{NS}, folder="/srv"}}': "0.85x180"},
    ),
    "DatabaseGrows": (
        {},
        {f"proj_database_bytes{{{NS}}}": "2000000000+20000000x180"},
        {f"proj_database_bytes{{{NS}}}": "2000000+20000x180"},
    ),
    "BackupTooOld": (
        {},
        {f"proj_backup_proven_age_seconds{{{NS}}}": "129601x180"},
        {f"proj_backup_proven_age_seconds{{{NS}}}": "100000x180"},
    ),
    "BackupNotStored": (
        {},
        {f"proj_backup_stored_age_seconds{{{NS}}}": "129601x180"},
        {f"proj_backup_stored_age_seconds{{{NS}}}": "100000x180"},
    ),
    "ArchiveStopped": (
        {},
        {f"proj_backup_archive_age_seconds{{{NS}}}": "0+60x180"},
        {f"proj_backup_archive_age_seconds{{{NS}}}": "0 60 120 0x177"},
    ),
    # The clock of promtool begins at 1970.
    "CertificateEnds": (
        {"host": "h"},
        {f'proj_certificate_end_seconds{{{NS}, host="h"}}': "500000x180"},
        {f'proj_certificate_end_seconds{{{NS}, host="h"}}': "5000000x180"},
    ),
    "NoMetrics": (
        {},
        {f'up{{{NS}, job="web"}}': "0x180"},
        {f'up{{{NS}, job="web", pod="a"}}': "0x180", f'up{{{NS}, job="web", pod="b"}}': "1x180"},
    ),
}  # fmt: skip


def test_prometheus_rules_are_those_of_beat() -> None:
    """Made anew by `manage.py alerts --prometheus`, written to that file."""
    assert FILE.read_text() == prometheus.as_yaml()
    assert list(SERIES) == [rule.name for rule in RULES] == [rule["alert"] for rule in ALERTS]


def test_each_alert_of_prometheus_fires_and_does_not(tmp_path: Path) -> None:
    # promtool would compare the summaries too, whose numbers say nothing here.
    bare = [{key: rule[key] for key in ("alert", "expr", "for", "labels")} for rule in ALERTS]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "proj", "rules": bare}]}), "utf-8")
    cases = []
    for rule in ALERTS:
        labels, fires, calm = SERIES[rule["alert"]]
        alert = {"exp_labels": {**rule["labels"], **labels, "namespace": "proj"}}
        for series, expected in ((fires, [alert]), (calm, [])):
            given = [{"series": name, "values": values} for name, values in series.items()]
            looks = {"eval_time": f"{END}m", "alertname": rule["alert"], "exp_alerts": expected}
            cases.append({"interval": "1m", "input_series": given, "alert_rule_test": [looks]})
    tests = tmp_path / "tests.yaml"
    tests.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": cases}), "utf-8")
    assert "SUCCESS" in run(need("promtool"), "test", "rules", tests).stdout


#: The minute at which both look.
END = 175


def minutes(values: str) -> list[float]:
    """Return the values that promtool's notation means: ``0+60x3 7`` is 0, 60, 120, 180, 7."""
    found: list[float] = []
    for part in values.split():
        start, step, times = re.fullmatch(r"(\d[\d.]*)(?:\+(\d+))?(?:x(\d+))?", part).groups()  # type: ignore[union-attr]
        count = int(times or 0) + 1
        found += [float(start) + number * float(step or 0) for number in range(count)]
    return found


def page(series: dict[str, str], minute: int) -> Measured:
    """Return what is measured in a minute: the pods say the same, so the most of them."""
    values: dict[str, tuple[tuple[str, ...], dict[tuple[str, ...], float]]] = {}
    for name, numbers in series.items():
        metric, _, rest = name.partition("{")
        labels = {key: text for key, text in re.findall(r'(\w+)="([^"]*)"', rest)
                  if key not in ("namespace", "pod")}  # fmt: skip
        _, of = values.setdefault(metric, (tuple(labels), {}))
        key = tuple(labels.values())
        of[key] = max(of.get(key, 0.0), minutes(numbers)[minute])
    return Measured(60.0 * minute, values)


def fires_for(rule: Rule, series: dict[str, str]) -> list[dict[str, str]]:
    """Return the labels for which a condition holds at the end, and has for as long as it must."""
    assert {*rule.when.counters()} <= {name.partition("{")[0] for name in series}
    holds = None
    for minute in range(END - rule.minutes, END + 1):
        past = {w: page(series, max(0, minute - w // 60)) for w in (WINDOW, GROWTH)}
        found = set(rule.when.of(page(series, minute), past.get))
        holds = found if holds is None else holds & found
    return [dict(zip(rule.labels, labels, strict=True)) for labels in holds or ()]


@pytest.mark.parametrize("rule", RULES[:-1], ids=lambda rule: rule.name)
def test_beat_finds_the_same(rule: Rule) -> None:
    labels, fires, calm = SERIES[rule.name]
    assert fires_for(rule, fires) == [labels]
    assert fires_for(rule, calm) == []


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert {rule.runbook for rule in RULES} == {
        str(page.relative_to(ROOT)) for page in PAGES.glob("*.md") if page.name != "README.md"
    }
    listed = re.findall(r"^\| \[(\w+)\]", (PAGES / "README.md").read_text(), re.MULTILINE)
    assert listed == [rule.name for rule in RULES]


COMMANDS = sorted(
    {
        command
        for page in PAGES.glob("*.md")
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for command in block.splitlines()
    }
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.django_db
def test_a_command_of_a_page_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    python, manage, *words = command.split()
    assert (python, manage) == ("python", "manage.py")
    with suppress(SystemExit):  # the doctor's, which says how bad it is
        call_command(*words)
    assert "can't be asked" not in capsys.readouterr().out
