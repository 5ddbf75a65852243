"""What the doctor says of a healthy stack, and of one that is broken in ten ways."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.backups.models import Backup
from durable.database import locks
from durable.database.server import server
from durable.doctor import outside
from durable.doctor.examine import examine
from durable.doctor.line import Level, Line
from durable.doctor.parts import certificate
from durable.queue import store
from durable.queue.models import Task
from durable.schedules.tests.scheduling import is_free
from tests import durable_tasks as tasks
from tests.fixtures_worker import database_url, free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def levels(*parts: str) -> dict[str, Line]:
    """Return the lines that are not well, by part and name."""
    return {f"{line.part} {line.name}".strip(): line for line in examine(60, parts) if line.level}


def administrator() -> Any:
    """Return a client that may change the broker's settings, as the app may not."""
    return redis.Redis.from_url(os.environ["BROKER_ADMIN_URL"], decode_responses=True)


@pytest.fixture
def healthy(settings: Any) -> Iterator[None]:
    """A worker, a beat that leads, and a proven backup; the broker's file is written."""
    settings.DURABLE_DEAD_AFTER = 3600  # the worker is one sign of life
    now = timezone.now()
    store.beat("worker-1", "host", 1, 2)
    Backup.objects.create(file="proj-1.dump", dumped_at=now, proven_at=now)
    PeriodicTask.objects.all().delete()
    client = administrator()
    client.config_set("appendonly", "yes")
    with psycopg.connect(database_url(), autocommit=True) as leader:
        cursor = leader.cursor()
        wait_for(lambda: locks.take(cursor, locks.LEADER), "the leader of another test is gone")
        yield
    client.config_set("appendonly", "no")


def test_a_healthy_stack_is_well_in_all_parts(healthy: None) -> None:
    lines = examine(60)
    # The tests' own server is not durable, and their machine's disk may be full.
    bad = {f"{line.part} {line.name}" for line in lines if line.level and line.part != "disk"}
    assert bad <= {"database durability"}
    assert {line.part for line in lines} == {
        "versions", "settings", "database", "schema", "broker", "queue", "tasks", "schedules",
        "backup", "certificate", "disk",
    }  # fmt: skip
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "queue", "broker", "--json", stdout=out)
    assert (ended.value.code, json.loads(out.getvalue())["level"]) == (Level.OK, "ok")


def test_nothing_but_the_servers_runs() -> None:
    wait_for(is_free, "the leader of another test is gone")
    found = levels("queue", "schedules", "backup")
    assert set(found) == {"queue workers", "schedules beat", "backup"}
    assert found["queue workers"].level == found["schedules beat"].level == Level.FAIL
    assert all(line.do for line in found.values())


def test_a_quarantine_and_an_old_row_are_named_with_their_queue(healthy: None) -> None:
    tasks.effect.delay_on_commit("a")
    tasks.effect.apply_async_on_commit(["b"], queue="mail")
    Task.objects.filter(queue="mail").update(quarantined_at=timezone.now())
    Task.objects.filter(queue="default").update(due_at=timezone.now() - timedelta(hours=2))
    found = levels("queue")
    assert found["queue quarantine"].says == "1 in mail"
    assert found["queue ready"].level == Level.FAIL
    assert "1 in default; the oldest for 720" in found["queue ready"].says


def test_rows_of_a_task_that_is_gone_are_counted() -> None:
    Task.objects.create(task_id="1", task="gone", queue="q", headers="{}", body="[[], {}, {}]")
    assert "1 row waits for it" in levels("tasks")["tasks gone"].says


def test_a_periodic_task_that_nothing_called_is_late(healthy: None) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    before = timezone.now() - timedelta(hours=3)
    PeriodicTask.objects.create(name="hourly", task="t", interval=every, last_run_at=before)
    assert levels("schedules")["schedules late"].says == "hourly"


@pytest.mark.parametrize(("hours", "level"), [(40, Level.WARN), (200, Level.FAIL)])
def test_a_backup_that_is_old_is_named(hours: int, level: Level) -> None:
    moment = timezone.now() - timedelta(hours=hours)
    Backup.objects.create(file="old.dump", dumped_at=moment, proven_at=moment)
    assert levels("backup")["backup"].level == level


def test_a_backup_that_failed_says_why() -> None:
    Backup.objects.create(file="1.dump", failed_at=timezone.now(), error="disk full\nmore")
    line = levels("backup")["backup"]
    assert (line.level, line.says) == (Level.FAIL, "none is proven; the newest failed: disk full")


def test_a_long_transaction_and_who_waits_for_its_lock_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("durable.doctor.parts.database.LONG", (0, 3600))
    monkeypatch.setattr("durable.doctor.parts.database.LOCKED", (0, 60))
    url = database_url()
    with psycopg.connect(url, application_name="report") as first, psycopg.connect(url) as second:
        pid = first.info.backend_pid
        first.execute("LOCK TABLE durable_worker")
        waiting = subprocess.Popen(
            [sys.executable, "-c", "import sys, psycopg; psycopg.connect(sys.argv[1])"
             ".execute('LOCK TABLE durable_worker')", url],
        )  # fmt: skip
        sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while second.execute(sql).fetchone() == (0,):
            second.rollback()
        found = levels("database")
        waiting.kill()
        waiting.wait()
    assert f"report, pid {pid}, idle in tr" in found["database transactions"].says
    assert f"waits for pid {pid}" in found["database locks"].says


def test_too_few_places_for_connections_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    few = server("default")._replace(most=1)
    monkeypatch.setattr("durable.doctor.parts.database.server", lambda _: few)
    assert levels("database")["database connections"].level == Level.FAIL


def test_a_migration_that_is_missing_is_named() -> None:
    row = "app = 'durable_results' AND name = '0001_initial'"
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM django_migrations WHERE {row}")  # noqa: S608
    try:
        assert (
            "1 migration(s), from durable_results.0001_initial" in levels("schema")["schema"].says
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied)"
                " VALUES ('durable_results', '0001_initial', now())"
            )


def test_a_broker_that_forgets_is_named(healthy: None) -> None:
    client = administrator()
    before = client.config_get("maxmemory*")
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info()["used_memory"])
    try:
        found = levels("broker")
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            client.config_set(name, before[name])
    assert {name: line.level for name, line in found.items()} == {
        "broker persistence": Level.WARN,
        "broker policy": Level.FAIL,
        "broker memory": Level.FAIL,
    }


def test_a_setting_that_loses_work_is_named(settings: Any) -> None:
    settings.USE_TZ = False
    assert levels("settings")["settings proj.E111"].level == Level.FAIL


def test_with_both_servers_away_the_rest_is_said_within_the_limit() -> None:
    """As a person starts it; PostgreSQL is frozen, which takes connections, and Redis is down."""

    def asked(limit: int) -> dict[tuple[str, str], dict[str, str]]:
        done = subprocess.run(
            [sys.executable, "manage.py", "doctor", "--limit", str(limit), "--json"],
            cwd=django_settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=170,
            env={**os.environ, "DATABASE_URL": postgres, "CELERY_BROKER_URL": redis},
        )  # fmt: skip
        assert done.returncode == Level.FAIL, done.stderr
        assert "secret" not in done.stdout + done.stderr
        return {(row["part"], row["name"]): row for row in json.loads(done.stdout)["lines"]}

    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen()
        postgres = f"postgresql://proj:secret@127.0.0.1:{frozen.getsockname()[1]}/proj"
        redis = f"redis://:secret@127.0.0.1:{free_port()}/0"
        rows = asked(2)  # the connection itself gives up after 5
        settings = rows["settings", ""]
        if settings["says"].startswith("no answer within"):  # of a machine that is busy
            settings = asked(60)["settings", ""]
    for part in ("database", "broker", "queue", "schedules", "backup"):
        assert rows[part, ""]["level"] == "fail", rows
    assert settings["level"] == "ok"
    assert rows["database", ""]["says"] == "no answer within 2 s"
    assert rows["database", ""]["do"] == "start PostgreSQL, or correct DATABASE_URL"


def test_a_certificate_that_ends_soon_or_is_not_trusted_is_named() -> None:
    levels = [certificate.expiry("site", days).level for days in (30, 5, 0.5)]
    assert levels == [Level.OK, Level.WARN, Level.FAIL]
    assert certificate.of("localhost", free_port()).level == Level.WARN


def container(role: str, image: str = "1", state: str = "running", health: str = "healthy") -> Any:
    return {"role": role, "image": image, "state": state, "health": health}


def test_from_outside_a_role_that_is_down_and_two_images_are_named() -> None:
    roles = [container(role) for role in ("web", "worker", "beat", "postgres")]
    assert {line.level for line in outside.lines({"containers": roles})} == {Level.OK}
    roles[1:3] = [container("worker", "2"), container("worker", health="unhealthy")]
    found = {line.name: line for line in outside.lines({"containers": roles})}
    assert (found["beat"].level, found["beat"].says) == (Level.FAIL, "none runs")
    assert found["worker"].says == "1 of 2 well (running healthy, running unhealthy)"
    assert found["image"].says == "web, worker: 1; worker: 2"
    [*_, image] = outside.lines({"containers": [container("web", "sha256:" + "f" * 64)]})
    assert image.says == "sha256:ffffffffffff in all roles"
    asked = {"containers": roles, "wanted": ["web", "prometheus"]}
    found = {line.name: line for line in outside.lines(asked)}
    assert (found["prometheus"].level, found["prometheus"].says) == (Level.FAIL, "none runs")
    [disk] = outside.lines({"disks": [{"name": "/", "used": 0.9}]})
    assert disk.level == Level.WARN
