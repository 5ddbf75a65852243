"""A real beat beside a real worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from durable.alerts.models import Alert
from durable.alerts.tests.receiver import AlertReceiver
from durable.canary.models import Canary
from durable.health.tests.healthcheck import Health, healthcheck
from durable.queue.models import Task

from .cable import Cable, through
from .fixtures_worker import StartRole, database_url, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PROBES = {"CELERY_IMPORTS": "tests.probe_tasks"}


@pytest.fixture
def every_second() -> PeriodicTask:
    """A task that adds two numbers each second."""
    second = IntervalSchedule.objects.create(every=1, period="seconds")
    return PeriodicTask.objects.create(
        name="every second", task="tests.probe_tasks.add", args="[2, 3]", interval=second
    )


def ran(result: str = "5") -> int:
    """Count the runs of the periodic task with this result."""
    runs = TaskResult.objects.filter(periodic_task_name="every second", result=result)
    return int(runs.count())


@pytest.fixture
def beat_health(tmp_path: Path) -> Callable[..., Health]:
    """Run ``healthcheck beat`` as its container would."""

    def check(**env: str) -> Health:
        reachable = {key: os.environ[key] for key in ("CELERY_BROKER_URL", "DATABASE_URL")}
        return healthcheck("beat", HEARTBEAT_DIR=str(tmp_path), **{**reachable, **env})

    return check


@pytest.fixture
def half_said() -> None:
    """A task in quarantine, which a leader before has seen for an hour, and then died."""
    now = timezone.now()
    Task.objects.create(task="t", queue="mail", body="[]", quarantined_at=now)
    hour = now - timedelta(hours=1)
    Alert.objects.create(rule="TasksInQuarantine", labels={"queue": "mail"}, value=1, since=hour)


def test_a_schedule_fires_and_a_change_in_the_admin_is_picked_up(
    start_role: StartRole, every_second: PeriodicTask, admin_client: Client, half_said: None
) -> None:
    start_role("worker", **PROBES)
    with AlertReceiver() as receiver:
        urls = {"ALERT_URL": f"{receiver.url}/hook", "HEARTBEAT_PING_URL": f"{receiver.url}/ping"}
        start_role("beat", **PROBES, **urls)
        wait_for(lambda: ran("5") >= 3, "the task ran three times")
        wait_for(lambda: receiver.pings, "the leader has looked")
        assert receiver.said == [("firing", ["TasksInQuarantine"])]
    wait_for(Canary.objects.exclude(done_at=None).exists, "the canary came to its end")

    url = f"/admin/django_celery_beat/periodictask/{every_second.pk}/change/"
    initial = admin_client.get(url).context["adminform"].form.initial
    form: dict[str, Any] = {key: value for key, value in initial.items() if value is not None}
    assert admin_client.post(url, form | {"args": "[40, 2]"}).status_code == 302
    wait_for(lambda: ran("42") >= 2, "the task ran with what the admin says")


def test_beat_is_healthy_while_its_loop_goes_round(
    start_role: StartRole, beat_health: Callable[..., Health], tmp_path: Path
) -> None:
    assert beat_health().status == 1
    beat = start_role(
        "beat",
        HEARTBEAT_DIR=str(tmp_path),
        HEARTBEAT_MAX_AGE="2",
        CELERY_BEAT_MAX_LOOP_INTERVAL="1",
    )
    wait_for(lambda: beat_health().status == 0, "beat is healthy")
    os.kill(beat.process.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: beat_health().status == 1, "a frozen beat is unhealthy")
    finally:
        os.kill(beat.process.pid, signal.SIGCONT)
    wait_for(lambda: beat_health().status == 0, "beat is healthy again")


def test_beat_outlives_postgresql(
    start_role: StartRole,
    every_second: PeriodicTask,
    beat_health: Callable[..., Health],
    database: Cable,
    tmp_path: Path,
) -> None:
    env = {
        **PROBES,
        "DATABASE_URL": through(database, database_url()),
        "HEARTBEAT_DIR": str(tmp_path),
        "HEARTBEAT_MAX_AGE": "2",
        "CELERY_BEAT_MAX_LOOP_INTERVAL": "1",
    }
    database.pull()
    beat = start_role("beat", **env)
    beat.wait_for_line("the database can't be used, trying again")
    database.plug()
    start_role("worker", **PROBES)
    wait_for(lambda: ran() >= 2, "it starts when PostgreSQL is there")

    database.pull()
    url = env["DATABASE_URL"]
    wait_for(
        lambda: "the database can't be reached" in beat_health(DATABASE_URL=url).line,
        "it beats no more",
    )
    assert beat_health(DATABASE_URL=url).status == 0, "no restart would mend that"
    every_second.refresh_from_db()
    every_second.args = "[40, 2]"
    every_second.save()
    database.plug()
    wait_for(lambda: ran("42") >= 1, "it reads what changed meanwhile")
    wait_for(lambda: "ok: beat: beat" in beat_health(DATABASE_URL=url).line, "it beats again")
    assert beat.process.poll() is None


def test_beat_can_be_stopped_while_postgresql_is_away(
    start_role: StartRole, database: Cable
) -> None:
    database.pull()
    beat = start_role("beat", DATABASE_URL=through(database, database_url()))
    beat.wait_for_line("the database can't be used, trying again")
    assert beat.stop() == 0
