"""The parts of the stack on *Now*: ok, slow, away, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from durable.console import parts, proxy, snapshot
from durable.database import sessions
from durable.health import readiness
from durable.health.readiness import Readiness
from durable.queue import store
from durable.schedules import leader
from durable.schedules.leader import Leader
from durable.schedules.tests.scheduling import is_free
from durable.tests.receiver import Receiver
from tests.fixtures_worker import PATIENCE, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = (readiness.NAME, leader.NAME)


@pytest.fixture(autouse=True)
def fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No snapshot of other tests, nor a connection that they have left."""
    monkeypatch.setattr(snapshot.keeper, "_last", None)
    monkeypatch.setattr(snapshot, "KEEP", 0.0)
    monkeypatch.setattr(snapshot, "STATEMENT_TIMEOUT", PATIENCE * 1000)
    settings.DURABLE_DEAD_AFTER = PATIENCE
    cut()
    wait_for(is_free, "the leader of another test is gone")
    yield
    cut()


def cut() -> None:
    """End the connections of web's health checks and of beats, as the end of a process does."""

    def none_is_left() -> bool:
        found = sessions.named("default", *NAMES)
        with connection.cursor() as cursor:
            for one in found:
                cursor.execute("SELECT pg_terminate_backend(%s)", [one.pid])
        return not found

    wait_for(none_is_left, "their sessions have ended")


def now(client: Client) -> tuple[dict[str, parts.Part], list[str]]:
    """Return the parts by their names, and what is said on top."""
    answer = client.get(reverse("console:now"))
    found = {one.name: one for one in answer.context["parts"]}
    for one in found.values():
        assert one.says in answer.content.decode()
    return found, [one.says for one in answer.context["findings"]]


def test_web_is_there_by_its_health_checks_with_its_version(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    assert now(admin_client)[0]["Web"].says == "not known"
    settings.APP_VERSION = "1.2.3"
    processes = Readiness(), Readiness()
    for one in processes:
        assert one.check(30)["database"] == "ok"
    found, _ = now(admin_client)
    assert found["Web"][1:3] == ("ok", "2 ready")
    assert found["Web"].more.startswith("1.2.3, for ")
    assert ("proj-readyz",) in sessions.by_application("default")
    monkeypatch.setattr(parts, "SILENT", -1.0)
    found, says = now(admin_client)
    assert found["Web"][1:3] == ("bad", "1 of 1 away")
    assert any("has answered no health check for" in one for one in says)
    cut()
    wait_for(lambda: now(admin_client)[0]["Web"].says == "not known", "their connections ended")


def test_another_version_of_web_is_named(admin_client: Client, settings: Any) -> None:
    processes = Readiness(), Readiness()
    for version, one in zip(("1.2.3", "1.2.4"), processes, strict=True):
        settings.APP_VERSION = version
        assert one.check(30)["database"] == "ok"
    found, says = now(admin_client)
    assert found["Web"].level == "warn"
    assert any("run different versions: 1.2.3, 1.2.4" in one for one in says)


def test_a_beat_leads_and_another_one_stands_by(admin_client: Client) -> None:
    assert now(admin_client)[0]["Beat"][1:3] == ("bad", "none leads")
    beats = Leader(), Leader()
    assert [one.hold() for one in beats] == [True, False]
    found, _ = now(admin_client)
    assert found["Beat"][1:3] == ("ok", "leads")
    assert found["Beat"].more.endswith("1 stands by")
    beats[0].close()
    wait_for(lambda: now(admin_client)[0]["Beat"].more == "1 stands by", "none leads")
    beats[1].close()


def test_the_proxy_is_asked_and_named_if_it_does_not_answer_or_does_not_reach_web(
    admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Proxy" not in now(admin_client)[0]
    monkeypatch.setattr(proxy._asked, "_keep", 0.0)
    monkeypatch.setattr(proxy, "TIMEOUT", 0.5)

    def shows(says: str, finding: str = "") -> None:
        def seen() -> bool:
            found, findings = now(admin_client)
            part = found.get("Proxy")
            return bool(part and part.says == says and finding in "".join(findings))

        wait_for(seen, f"the proxy is {says}")

    with Receiver() as server, Receiver(silent=True) as frozen:
        urls = ["http://127.0.0.1:1/livez", f"{server.url}/livez"]
        settings.OPS_PROXY = urls
        shows("ok")
        assert set(server.pings) == {"/livez"}
        server.status = 502
        shows("does not reach web", "The proxy does not reach web (answers 502)")
        settings.OPS_PROXY = [frozen.url]
        shows("away", "The proxy does not answer (TimeoutError) for ")
    shows("away", "The proxy does not answer (ConnectionRefusedError) for ")


def test_a_slow_store_and_one_that_is_away_are_told_apart(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.beat("w", "host", 1, 2, ["default", "mail"])
    store.beat("v", "host", 2, 2, ["reports"])

    def answer(level: str, says: str) -> bool:
        found, _ = now(admin_client)
        both = (found["PostgreSQL"], found["Broker"])
        return all(one.level == level and one.says.startswith(says) for one in both)

    monkeypatch.setattr(parts, "SLOW", 3600.0)
    wait_for(lambda: answer("ok", "ok"), "both have answered")
    found, _ = now(admin_client)
    assert found["Workers"].says == "2 alive"
    assert found["Workers of default, mail"].says == "1"
    monkeypatch.setattr(parts, "SLOW", -1.0)
    wait_for(lambda: answer("warn", "slow: "), "each answer is slow")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    connection.close()
    found, _ = now(admin_client)
    assert found["PostgreSQL"][1:3] == ("bad", "away")
    monkeypatch.undo()
    connection.close()
