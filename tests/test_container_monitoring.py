"""COMPOSE_PROFILES=monitoring: Prometheus scrapes web, and answers what the dashboards ask."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from .containers import ROOT, Stack, inspect, wait_until
from .ports import free_port
from .test_container_compose_file import config

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

SERVICES = ("prometheus", "monitoring-proxy")  # Grafana's image is large, and shows what these say
BOARDS = [
    json.loads(path.read_text())
    for path in sorted(ROOT.glob("k8s/components/monitoring/dashboards/*.json"))
]
#: What a person chooses on a dashboard.
CHOSEN = {"$namespace": ".*", "$task": ".*", "$queue": ".*", "$__range": "5m"}

#: Of tasks, and of requests, which a process of web adds up every few seconds.
COUNTERS = ("proj_tasks_failed_total", "proj_http_requests_total")

#: Calls that end well, entries that tell of failures and retries, and a row that alerts.
LOAD = """
import time
from datetime import timedelta
from django.db.models.functions import Now
from django.utils import timezone
from durable.backups.models import Backup
from durable.journal import minutes
from durable.journal.models import Entry
from durable.queue.models import Task
from proj.celery import debug_task
now, before = timezone.now(), Entry.objects.count()
done = {"dumped_at": now, "proven_at": now}
Backup.objects.get_or_create(file="for-monitoring", defaults=done)
Task.objects.create(task="for-monitoring", queue="default", body="[]", quarantined_at=now)
for _ in range(20):
    debug_task.delay_on_commit()
while Entry.objects.count() < before + 20:
    time.sleep(0.05)
mine = Entry.objects.filter(task=debug_task.name)
mine.update(ended_at=Now() - timedelta(minutes=1))
history = [{"what": "retry"}, {"what": "the process that ran it died"}]
for entry in mine.order_by("-id")[:10]:
    Entry.objects.filter(pk=entry.pk).update(state="FAILURE", history=history)
minutes.fold()
"""
CLEAN = """
from durable.backups.models import Backup
from durable.queue.models import Task
Backup.objects.filter(file="for-monitoring").delete()
Task.objects.filter(task="for-monitoring").delete()
"""


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Iterator[Any]:
    """Start it beside the stack, with scrapes each second; give what asks it."""
    port = free_port()
    env = {"PROMETHEUS_PORT": str(port), "GRAFANA_PORT": str(free_port())}
    up = ("--profile", "monitoring", "up", "--detach", "--wait", "--no-deps", *SERVICES)
    edit = ("sed", "-i", "s/: 15s/: 1s/", "/volumes/monitoring/prometheus.yaml")
    stack.compose("run", "--rm", "--no-deps", "secrets", *edit)

    def ask(path: str, **words: str) -> Any:
        address = f"http://127.0.0.1:{port}/api/v1/{path}?{urlencode(words)}"
        with urlopen(address, timeout=60) as answer:
            return json.load(answer)["data"]

    def answer(query: str) -> list[float]:
        found = ask("query", query=query)["result"]
        return [float(each["value"][1]) for each in found]

    ask.port, ask.answer = port, answer  # type: ignore[attr-defined]

    def load() -> None:
        urlopen(f"http://127.0.0.1:{stack.port}/", timeout=60).close()
        stack.manage(LOAD)

    try:
        load()
        stack.compose(*up, env=env)
        scraped = " and on() ".join(f"sum({counter}) > 0" for counter in COUNTERS)
        wait_until(lambda: answer(scraped), "the first round was scraped")
        load()
        grown = " and on() ".join(f"sum(rate({counter}[5m])) > 0" for counter in COUNTERS)
        wait_until(lambda: answer(grown), "and the second")
        yield ask
    finally:
        stack.manage(CLEAN)
        stack.compose("--profile", "monitoring", "rm", "--force", "--stop", *SERVICES, env=env)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_each_query_of_the_dashboards_has_an_answer(prometheus: Any, board: Any) -> None:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in CHOSEN.items():
                query = query.replace(name, value)

            def answered(query: str = query) -> bool:
                return not all(map(math.isnan, prometheus.answer(query)))

            wait_until(answered, f"{panel['title']} has an answer: {query}")


def test_it_scrapes_web_and_looks_after_the_alerts(prometheus: Any) -> None:
    [target] = prometheus("targets")["activeTargets"]
    assert (target["labels"]["job"], target["labels"]["namespace"]) == ("web", "proj")

    def is_up() -> bool:  # a scrape of a busy machine may be too late, and the next is not
        [target] = prometheus("targets")["activeTargets"]
        return bool(target["health"] == "up")

    def are_well() -> bool:
        [group] = prometheus("rules")["groups"]
        return {rule["health"] for rule in group["rules"]} == {"ok"}

    wait_until(is_up, "web is scraped")
    wait_until(are_well, "each rule was evaluated")


def test_make_up_says_where_the_dashboards_are(stack: Stack, prometheus: Any) -> None:
    said = stack.run(
        "sh", "-c", ". deploy/compose/running.sh; dashboards",
        env={"COMPOSE_PROFILES": "monitoring"},
    ).stdout  # fmt: skip
    assert re.match(r"dashboards: http://127\.0\.0\.1:\d+ \(admin; password: docker compose", said)
    password = "/volumes/secrets/monitoring/grafana_password"
    kept = stack.compose("run", "--rm", "--no-deps", "secrets", "wc", "-c", password).stdout
    assert int(kept.split()[0]) > 40


def test_a_page_of_another_name_does_not_reach_it(prometheus: Any) -> None:
    address = f"http://127.0.0.1:{prometheus.port}/api/v1/targets"
    with pytest.raises(HTTPError, match="421"):
        urlopen(Request(address, headers={"Host": "attacker.example"}), timeout=60)


def test_it_is_locked_up_without_a_way_out(stack: Stack, prometheus: Any) -> None:
    [container] = inspect(*stack.ids("prometheus"))
    assert list(container["NetworkSettings"]["Networks"]) == [f"{stack.name}_monitoring"]
    routes = stack.compose("exec", "-T", "prometheus", "cat", "/proc/net/route").stdout
    assert "00000000" not in [line.split()[1] for line in routes.splitlines()[1:]]


def test_all_of_it_is_as_locked_down_as_the_others_and_only_on_this_machine(clone: Path) -> None:
    parsed = config(clone, COMPOSE_PROFILES="monitoring")
    assert parsed["networks"]["monitoring"]["internal"] is True
    services = {name: parsed["services"][name] for name in (*SERVICES, "grafana")}
    for name, service in services.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert not service["user"].startswith("0"), name
        assert int(service["mem_limit"]) <= 1024**3
        networks = {"default", "monitoring"} if name == "monitoring-proxy" else {"monitoring"}
        assert set(service["networks"]) == networks
        published = {port["host_ip"] for port in service.get("ports", ())}
        assert published == ({"127.0.0.1"} if name == "monitoring-proxy" else set())
    assert services.keys().isdisjoint(config(clone)["services"])
    secret = services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert secret == "/run/secrets/proj/grafana_password"
