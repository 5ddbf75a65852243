"""/metrics: who may read it, what it says, and how often it asks the database."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from durable.metrics import exposition, gauges
from durable.queue import conf, overview
from durable.queue.metrics import LABELS
from durable.queue.models import Pause, Progress, Seen, Task, Worker
from durable.queue.states import FAR, STATES
from durable.schedules.leader import Leader
from tests.fixtures_worker import PATIENCE, wait_for

pytestmark = pytest.mark.django_db

TOKEN = "a-long-token-of-the-tests"


@pytest.fixture(autouse=True)
def token(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.DURABLE_DEAD_AFTER = PATIENCE
    monkeypatch.setattr(gauges, "STATEMENT_TIMEOUT", PATIENCE * 1000)


def scrape(**headers: str) -> Any:
    """Ask as a scraper does: by the pod's address, and without HTTPS."""
    return Client().get("/metrics", headers={"Host": "10.244.1.7:8000", **headers})


def measured() -> dict[str, float]:
    """Return every sample of the page: ``name`` or ``name{queue}``."""
    answer = scrape(Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200, answer.content
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def entry(**columns: Any) -> Task:
    return Task.objects.create(**{"task": "t", "queue": "default", "body": "[]", **columns})


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def test_without_a_token_in_the_settings_there_is_no_such_page(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert scrape().status_code == 404
    assert scrape(Authorization="Bearer ").status_code == 404


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer ä"])
def test_whoever_does_not_know_the_token_is_refused(sent: str) -> None:
    answer = scrape(Authorization=sent)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_nothing_that_came_through_a_proxy_sees_the_page(header: str) -> None:
    answer = scrape(Authorization=f"Bearer {TOKEN}", **{header: "for=203.0.113.7"})
    assert answer.status_code == 404


def test_a_redirect_to_https_does_not_stop_the_scraper(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert scrape(Authorization=f"Bearer {TOKEN}").status_code == 200


def test_the_page_is_only_read() -> None:
    answer = Client().post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 405


def test_each_queue_shows_its_tasks_in_each_state() -> None:
    entry()
    entry(due_at=ago(1))
    entry(due_at=timezone.now() + timedelta(hours=1))
    entry(due_at=FAR, eligible_at=ago(1), key="k")
    entry(worker="w")
    entry(worker="w", started_at=timezone.now())
    entry(quarantined_at=timezone.now())
    found = measured()
    counts = [[found[f"proj_tasks_{s}{{{q}}}"] for s in STATES] for q in ("default", "reports")]
    assert counts == [[1, 1, 2, 1, 1, 1], [0] * 6]


def test_the_age_is_that_of_the_oldest_task_that_should_run() -> None:
    entry(due_at=ago(100))
    entry(due_at=ago(500), worker="w", started_at=ago(400))
    entry(due_at=ago(600), quarantined_at=ago(600))
    entry(queue="mail", due_at=ago(50))
    found = measured()
    assert found["proj_oldest_ready_seconds{default}"] == pytest.approx(100, abs=40)
    assert found["proj_oldest_ready_seconds{mail}"] == pytest.approx(50, abs=40)
    assert found["proj_oldest_ready_seconds{reports}"] == 0


def test_a_task_with_a_countdown_is_not_old_when_its_time_has_come() -> None:
    Task.objects.filter(pk=entry(due_at=ago(2)).pk).update(created_at=ago(3600))
    assert measured()["proj_oldest_ready_seconds{default}"] == pytest.approx(2, abs=40)


def test_a_long_queue_is_not_read_and_its_count_has_an_end() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO durable_task (task_id, task, queue, priority, headers, body, attempt,
                   clean_attempt, error, history)
               SELECT n, 't', 'default', 0, '{}', '[]', 0, 0, '', '[]'
               FROM generate_series(1, %s) AS n""",
            [overview.CAP + 5000],
        )
        cursor.execute("ANALYZE durable_task")
        for number in range(overview.LANES + 50):
            entry(queue=f"a-{number:03}")
        entry(queue="reports", due_at=ago(5))
        found = measured()
        cursor.execute(
            "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'durable_task'"
        )
        # ANALYZE reads it once, and nothing else does.
        assert cursor.fetchone()[0] <= overview.CAP + 5000
    assert found["proj_tasks_ready{default}"] == overview.CAP
    assert found["proj_tasks_waiting_estimate"] >= overview.CAP + 5000
    assert found["proj_tasks_ready{reports}"] == 1, "the settings name it"
    assert found["proj_tasks_ready{other}"] == overview.LANES - LABELS
    assert sum(name.startswith("proj_tasks_ready{") for name in found) <= LABELS + 5


def test_ready_tasks_that_no_worker_takes_are_told_apart() -> None:
    entry()
    entry(queue="mail")
    entry(queue="paused")
    Pause.objects.create(kind="queue", name="paused", who="root")
    Worker.objects.create(id="w", hostname="h", pid=1, slots=3, queues="default", version="2")
    found = measured()
    assert found["proj_tasks_untaken{default}"] == 0
    assert found["proj_tasks_untaken{mail}"] == 1
    assert found["proj_tasks_untaken{paused}"] == 0
    assert found["proj_queue_paused{paused}"] == 1
    assert found["proj_slots"] == 3


def test_a_running_task_that_tells_no_more_how_far_it_is_is_seen() -> None:
    assert measured()["proj_progress_silent_seconds"] == 0
    for name, attempt, told in (("old", 2, 1), ("quick", 1, 1), ("slow", 1, 1)):
        started = {} if name == "quick" else {"worker": "w", "started_at": ago(900)}
        row = entry(task_id=name, attempt=attempt, **started)
        seconds = {"old": 800, "quick": 700, "slow": 300}[name]
        Progress.objects.create(
            task_id=name, row_id=row.pk, attempt=told, done=1, message="", at=ago(seconds)
        )
    entry(task_id="silent", worker="w", started_at=ago(900))
    # Of "old" an earlier attempt has told it, "quick" waits, "silent" tells nothing at all.
    assert measured()["proj_progress_silent_seconds"] == pytest.approx(300, abs=40)


def test_calls_that_are_not_written_again_are_estimated() -> None:
    Seen.objects.bulk_create(
        Seen(task="t", key=str(n), task_id=str(n), until=timezone.now()) for n in range(500)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE durable_seen")
    assert measured()["proj_calls_remembered"] == 500


def test_a_worker_counts_while_it_gives_signs_of_life() -> None:
    for name, seen in (("alive", 0), ("dead", conf.get("DEAD_AFTER") + 5)):
        Worker.objects.create(id=name, hostname="h", pid=1, slots=1, seen_at=ago(seen))
    assert measured()["proj_workers"] == 1


@pytest.mark.django_db(transaction=True)
def test_it_says_whether_a_beat_leads() -> None:
    wait_for(lambda: measured()["proj_beat_leads"] == 0, "the leader of another test is gone")
    leader = Leader()
    try:
        assert leader.hold()
        assert measured()["proj_beat_leads"] == 1
    finally:
        leader.close()


def test_the_database_is_asked_once_however_many_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "KEEP", 3600.0)
    asked = []

    def ask() -> list[gauges.Gauge]:
        asked.append(1)
        return [("one", "One.", (), {(): 1.0})]

    page = exposition.Page(ask)
    assert b"one 1.0" in page.read()
    assert page.read() == page.read()
    assert asked == [1]


def test_a_scrape_does_not_wait_behind_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "PATIENCE", 0.01)
    hangs, asked = threading.Event(), threading.Event()

    def ask() -> list[gauges.Gauge]:
        asked.set()
        hangs.wait(180)
        return []

    page = exposition.Page(ask)
    first = threading.Thread(target=page.read)
    first.start()
    try:
        assert asked.wait(180)
        with pytest.raises(exposition.BusyError):
            page.read()
    finally:
        hangs.set()
        first.join()


@pytest.mark.django_db(transaction=True)
def test_a_question_that_takes_too_long_ends_as_503_and_leaves_no_limit_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow() -> list[gauges.Gauge]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        return []

    monkeypatch.setattr(gauges, "STATEMENT_TIMEOUT", 20)
    monkeypatch.setattr(gauges, "sources", lambda: [slow])
    answer = scrape(Authorization=f"Bearer {TOKEN}")
    assert (answer.status_code, answer.content) == (503, b"the database can't be asked\n")
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
