"""What the leading beat says of the conditions, by a real server and a real PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from durable.alerts import chores, send, watch
from durable.alerts.models import Alert
from durable.queue.models import Task

from .conftest import SECRET
from .receiver import AlertReceiver

pytestmark = pytest.mark.django_db

START = timezone.now()
UNTAKEN = "TasksUntaken"
FIRES, OVER = ("firing", [UNTAKEN]), ("resolved", [UNTAKEN])


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def rounds(*minutes: float) -> None:
    """Look at each of these minutes; each look knows only what is in the database."""
    for number in minutes:
        chores.once_a_minute(minute(number))


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's disk, for one, may be full."""
    ours = [watch.BY_NAME[name] for name in (UNTAKEN, "TasksInQuarantine")]
    monkeypatch.setattr(watch, "RULES", ours)


@pytest.fixture
def untaken() -> Task:
    return Task.objects.create(task="t", queue="mail", body="[]")


def test_an_alert_is_said_once_when_it_has_held_long_enough_and_once_when_it_is_over(
    receiver: AlertReceiver, untaken: Task
) -> None:
    rounds(0, 1, 4)
    assert receiver.said == []
    rounds(5, 6, 7)
    assert receiver.said == [FIRES]
    [alert] = receiver.messages[0]["alerts"]
    assert alert["labels"] == {"alertname": UNTAKEN, "severity": "critical", "queue": "mail"}
    says = "1 tasks of queue mail wait, and no worker takes from it."
    assert says in receiver.messages[0]["text"]
    assert alert["annotations"] == {"summary": says, "runbook": "docs/runbooks/TasksUntaken.md"}
    untaken.delete()
    rounds(8, 9, 12)
    assert receiver.said == [FIRES], "what comes and goes is not over yet"
    rounds(13, 14)
    assert receiver.said == [FIRES, OVER]
    assert not Alert.objects.exists()


def test_a_clock_that_was_ahead_puts_off_neither_an_alert_nor_its_end(
    receiver: AlertReceiver, untaken: Task
) -> None:
    rounds(60, 0, 4)
    assert receiver.said == []
    rounds(5)
    assert receiver.said == [FIRES]
    untaken.delete()
    rounds(65, 6, 10)
    assert receiver.said == [FIRES]
    rounds(11)
    assert receiver.said == [FIRES, OVER]


def test_more_than_one_message_holds_follow_in_the_next(
    receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "MOST", 2)
    for queue in "abc":
        Task.objects.create(task="t", queue=queue, body="[]")
    rounds(0, 5)
    assert receiver.said == [("firing", [UNTAKEN] * 2)]
    rounds(6)
    assert receiver.said[1:] == [FIRES]
    rounds(7)
    assert len(receiver.said) == 2


def test_it_is_said_again_a_day_later(receiver: AlertReceiver, untaken: Task) -> None:
    rounds(0, 5, 60, 24 * 60)
    assert receiver.said == [FIRES]
    rounds(5 + 24 * 60)
    assert receiver.said == [FIRES, FIRES]


def test_one_that_went_before_its_time_is_not_said(receiver: AlertReceiver, untaken: Task) -> None:
    rounds(0, 4)
    untaken.delete()
    rounds(5, 6, 11)
    assert receiver.said == []
    assert not Alert.objects.exists()


@pytest.mark.parametrize("status", [302, 500])
def test_what_is_not_taken_is_said_again_and_no_log_shows_where(
    receiver: AlertReceiver, untaken: Task, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    receiver.status = status
    rounds(0, 5, 6)
    assert receiver.said == []
    assert "ALERT_URL does not take 1 of them" in caplog.text
    assert f"it answers {status}" in caplog.text
    receiver.status = 200
    rounds(7, 8)
    assert receiver.said == [FIRES]
    assert SECRET not in caplog.text


def test_one_that_ended_while_no_server_took_it_is_said_all_the_same(
    receiver: AlertReceiver, untaken: Task
) -> None:
    receiver.status = 503
    rounds(0, 5)
    untaken.delete()
    rounds(6, 11)
    receiver.status = 200
    rounds(12, 13)
    assert receiver.said == [OVER]


def test_a_mail_says_it_too_and_each_way_is_tried_by_itself(
    receiver: AlertReceiver, untaken: Task, settings: Any
) -> None:
    settings.ALERT_EMAIL = ["one@example.com", "two@example.com"]
    receiver.status = 500
    rounds(0, 5, 6)
    receiver.status = 200
    rounds(7)
    assert receiver.said == [FIRES]
    [sent] = mail.outbox
    assert sent.to == ["one@example.com", "two@example.com"]
    assert sent.subject.endswith("] TasksUntaken")
    assert "docs/runbooks/TasksUntaken.md" in sent.body


def test_the_ping_stays_away_while_a_critical_alert_fires_or_is_not_said(
    receiver: AlertReceiver, untaken: Task
) -> None:
    rounds(0, 4)
    assert receiver.pings == [f"/ping/{SECRET}"] * 2
    rounds(5, 6)
    assert len(receiver.pings) == 2
    untaken.delete()
    rounds(7, 12)
    assert len(receiver.pings) == 3
    Task.objects.create(task="t", queue="mail", body="[]", quarantined_at=timezone.now())
    rounds(13, 14, 15)
    assert len(receiver.pings) == 6, "a warning does not wake anybody"


def test_the_leader_says_that_the_database_is_away_from_its_memory(
    receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "_silence", chores._Silence())

    def away(**kwargs: Any) -> None:
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(watch, "look", away)
        for number in (0, 4, 5, 6):
            with pytest.raises(OperationalError):
                rounds(number)
    assert receiver.said == [("firing", ["NoMetrics"])]
    rounds(7, 8)
    assert receiver.said[1:] == [("resolved", ["NoMetrics"])]


def test_nothing_is_looked_at_where_no_channel_is_set(untaken: Task, settings: Any) -> None:
    settings.ALERT_URL = settings.HEARTBEAT_PING_URL = ""
    settings.ALERT_EMAIL = []
    rounds(0, 5)
    assert not Alert.objects.exists()


def test_the_command_shows_what_holds_and_tries_the_way(
    receiver: AlertReceiver, untaken: Task
) -> None:
    def shown(*words: str) -> str:
        call_command("alerts", *words, stdout=(out := StringIO()))
        return out.getvalue()

    assert "mail wait, and no worker takes from it. (fires after 5 min)" in shown()
    rounds(0, 5)
    assert "told: ALERT_URL)" in shown()
    assert shown("--test") == "taken by: ALERT_URL\n"
    assert receiver.said[-1] == ("firing", ["Test"])
    receiver.status = 404
    with pytest.raises(CommandError, match="not taken by: ALERT_URL, HEARTBEAT_PING_URL"):
        call_command("alerts", "--test")
