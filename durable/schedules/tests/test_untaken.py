"""Tasks of other projects, which no row keeps: sent by beat itself, as soon as the broker is."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import pytest
import redis
from celery import current_app as app
from django.utils import timezone
from kombu.utils.json import loads
from pytest_django import Settings

from durable.schedules import broker, conf
from tests.fixtures_worker import wait_for

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)


def names_in_the_broker() -> set[str]:
    with app.connection_for_read() as broker:
        rows = broker.default_channel.client.lrange("default", 0, -1)
    return {loads(row)["headers"]["task"] for row in rows}


def test_a_task_of_another_project_is_sent_without_a_row(beat: StartBeat) -> None:
    task = periodic(task="elsewhere.tasks.work")
    tick(beat())
    assert sent() == []
    task.refresh_from_db()
    assert task.total_run_count == 1
    with app.connection_for_read() as broker:
        [raw] = broker.default_channel.client.lrange("default", 0, -1)
    assert loads(raw)["headers"]["task"] == "elsewhere.tasks.work"


def test_while_the_broker_is_away_such_a_task_is_due_again(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = periodic("foreign", task="elsewhere.tasks.work")
    periodic("own")
    monkeypatch.setattr(broker, "_pool", None)
    with monkeypatch.context() as away:
        away.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
        away.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
        tick(beat())
    monkeypatch.setattr(broker, "_pool", None)
    foreign.refresh_from_db()
    assert foreign.total_run_count == 0
    assert sent() == ["own"]
    tick(beat())
    foreign.refresh_from_db()
    assert foreign.total_run_count == 1


def test_such_a_task_with_an_unknown_queue_waits_for_its_next_time(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.amqp.queues, "create_missing", False)
    wrong = periodic("wrong", task="elsewhere.tasks.work", queue="nowhere")
    periodic("right")
    tick(beat())
    assert sent() == ["right"]
    assert "wrong can't be sent, until its next time" in caplog.text
    wrong.refresh_from_db()
    assert wrong.total_run_count == 0
    assert wrong.last_run_at > timezone.now() - timedelta(minutes=1)


def test_a_stall_that_is_over_when_the_broker_is_asked_skips_no_run(
    beat: StartBeat, settings: Settings
) -> None:
    settings.BEAT_PUBLISH_TIMEOUT = 5.0
    tick(beat())
    with broker.producers().acquire() as producer:  # connected, as after the first run of a day
        producer.channel.client.ping()
    task = periodic("foreign", task="elsewhere.tasks.work")
    before = task.last_run_at
    with redis.Redis.from_url(os.environ["BROKER_ADMIN_URL"]) as admin:
        # Longer than a try takes, and shorter than that and the question to the broker.
        stall = int(conf.get("PUBLISH_TIMEOUT") / 2 * 1000) + 150
        scheduler = beat()
        assert scheduler.schedule
        admin.execute_command("CLIENT", "PAUSE", stall, "ALL")

    def has_run() -> bool:  # at once, unless the broker's process has stood still as well
        tick(scheduler)
        task.refresh_from_db()
        return bool(task.last_run_at > before)

    wait_for(has_run, "its run is over")
    assert task.total_run_count == 1
    assert names_in_the_broker() == {"elsewhere.tasks.work"}


def test_that_no_message_can_be_made_is_said_once_and_not_blamed_on_the_broker(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task = periodic("foreign", task="elsewhere.tasks.work")
    scheduler = beat()
    monkeypatch.setattr("durable.schedules.scheduler.RETRY", 0.0)
    app.conf.task_compression = "middle-out"
    app.amqp.__dict__.pop("send_task_message", None)  # keeps the setting it was made with
    try:
        for _ in range(6):
            scheduler.tick()
    finally:
        app.conf.task_compression = None
        app.amqp.__dict__.pop("send_task_message", None)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    [error] = errors
    assert "CELERY_TASK_COMPRESSION=middle-out" in error.getMessage()
    assert "can't be reached" not in caplog.text
    task.refresh_from_db()
    assert task.total_run_count == 0
    tick(scheduler)
    task.refresh_from_db()
    assert task.total_run_count == 1


def test_a_broker_that_is_away_is_named_once_for_each_task(
    beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    periodic("foreign", task="elsewhere.tasks.work")
    scheduler = beat()
    monkeypatch.setattr("durable.schedules.scheduler.RETRY", 0.0)
    monkeypatch.setattr(broker, "_pool", None)
    with monkeypatch.context() as away:
        away.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
        away.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
        for _ in range(3):
            scheduler.tick()
    monkeypatch.setattr(broker, "_pool", None)
    assert caplog.text.count("the broker can't be reached") == 1
