"""Which ticks happen, and what becomes of one that can't."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import shared_task
from django.utils import timezone
from pytest_django import Settings

from durable.journal import periodic as runs
from durable.queue.worker.task import DurableTask

from .scheduling import StartBeat, periodic, sent, tick

pytestmark = pytest.mark.django_db(transaction=True)


class UnspeakableError(Exception):
    """Its text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError


class Refuses(DurableTask):
    """A class of a project's own, whose calls go wrong."""

    abstract = True

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Fail."""
        raise UnspeakableError


@shared_task(base=Refuses)
def refuses() -> None:
    """Do nothing."""


def why_missed(name: str) -> str:
    """Return what the journal says of the newest run of a periodic task, which was missed."""
    return runs.outcomes([name])[name][0].says


class TestMissed:
    """Ticks that came due while none could be sent."""

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
        assert why_missed("p").startswith("missed: due ")

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
        wrong = periodic("wrong", kwargs='{"4111-1111": 1, "my_card": "4111-1111"}')
        periodic("right")
        tick(beat())
        assert sent() == ["right"]
        assert "wrong can't be sent, until its next time" in caplog.text
        wrong.refresh_from_db()
        assert wrong.total_run_count == 0
        assert wrong.last_run_at > timezone.now() - timedelta(minutes=1)
        assert why_missed("wrong").startswith("missed: it can't be sent: ")
        assert "4111" not in caplog.text + why_missed("wrong")

    def test_an_error_without_a_text_is_no_reason_to_try_for_ever(self, beat: StartBeat) -> None:
        wrong = periodic("wrong", task=refuses.name)
        tick(beat())
        wrong.refresh_from_db()
        assert wrong.last_run_at > timezone.now() - timedelta(minutes=1)
        assert "<UnspeakableError, whose str() raises RuntimeError>" in why_missed("wrong")
