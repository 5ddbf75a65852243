"""Which ticks happen, and what becomes of one that can't."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.utils.json import loads
from pytest_django import Settings

from apps.outbox import broker
from proj.celery import app

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)


class TestMissed:
    """What came due while nobody could send it."""

    def test_it_runs_once_however_often_it_was_due(self, beat: StartBeat) -> None:
        periodic(last_run_at=timezone.now() - timedelta(days=7))
        tick(beat())
        assert sent() == ["p"]

    def test_it_is_skipped_if_a_person_wants_that(
        self, beat: StartBeat, settings: Settings
    ) -> None:
        settings.BEAT_RUN_MISSED = False
        task = periodic(last_run_at=timezone.now() - timedelta(days=7))
        tick(beat())
        assert sent() == []
        task.refresh_from_db()
        assert task.total_run_count == 0
        assert task.last_run_at > timezone.now() - timedelta(minutes=1)

    def test_the_first_run_after_its_start_time_was_not_missed(
        self, beat: StartBeat, settings: Settings
    ) -> None:
        settings.BEAT_RUN_MISSED = False
        periodic(start_time=timezone.now() - timedelta(seconds=5), last_run_at=None)
        tick(beat())
        assert sent() == ["p"]

    def test_what_is_a_little_late_was_not_missed(
        self, beat: StartBeat, settings: Settings
    ) -> None:
        settings.BEAT_RUN_MISSED = False
        periodic(last_run_at=timezone.now() - timedelta(minutes=30, seconds=5))
        tick(beat())
        assert sent() == ["p"]


class TestWhatCanNotBeSent:
    """One task must not hold up the others."""

    def test_wrong_arguments_wait_for_their_next_time(
        self, beat: StartBeat, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = periodic("wrong", args="[1, 2, 3]")
        periodic("right")
        tick(beat())
        assert sent() == ["right"]
        assert "wrong can't be sent, until its next time" in caplog.text
        wrong.refresh_from_db()
        assert wrong.total_run_count == 0
        assert wrong.last_run_at > timezone.now() - timedelta(minutes=1)

    def test_a_task_of_another_project_is_sent_without_the_outbox(self, beat: StartBeat) -> None:
        task = periodic(task="elsewhere.tasks.work")
        tick(beat())
        assert sent() == []
        task.refresh_from_db()
        assert task.total_run_count == 1
        with app.connection_for_read() as broker:
            [raw] = broker.default_channel.client.lrange("default", 0, -1)
        assert loads(raw)["headers"]["task"] == "elsewhere.tasks.work"

    def test_while_the_broker_is_away_such_a_task_is_due_again(
        self, beat: StartBeat, monkeypatch: pytest.MonkeyPatch
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
        self, beat: StartBeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
