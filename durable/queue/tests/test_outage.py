"""A start that lost its database is neither a failure nor a crash; and not repeated without end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from celery import shared_task, states
from django.db import connection
from django.test import Client
from psycopg.errors import OperationalError

from durable.queue import outage, store, tries
from durable.queue.models import Task
from tests import durable_tasks as tasks

from .delivery import deliver
from .test_admin import act

pytestmark = pytest.mark.usefixtures("effect_table")


def lose(times: int) -> Task:
    """Start a row and let it lose its database, *times* times; return it."""
    for _ in range(times):
        row = Task.objects.get(task=tasks.effect.name)
        token = store.claim(row.id, row.starts, "me")
        assert token is not None
        outage.report(row.id, token, OperationalError("server closed the connection\n"))
    return Task.objects.get(task=tasks.effect.name)


def test_it_is_reported_with_its_cause_and_started_again(settings: Any) -> None:
    settings.DURABLE_MAX_STARTS = 2
    tasks.breaks_database.delay_on_commit("a", 3)
    for number in (1, 2, 3):
        deliver()
        row = Task.objects.get()
        assert (row.worker, row.starts, row.reported) == (None, number, number)
        assert row.quarantined_at is None
        assert row.error.startswith("the database went away: terminating connection")
    assert [line["what"] for line in row.history] == [row.error] * 3
    deliver()
    assert not Task.objects.exists()
    assert tasks.effects() == {"a": 1}


def test_each_time_it_waits_longer() -> None:
    tasks.effect.delay_on_commit("a")
    pauses = []
    for _ in range(12):
        row = lose(1)
        assert row.due_at is not None
        since = datetime.fromisoformat(row.history[-1]["at"])
        pauses.append(round((row.due_at - since).total_seconds()))
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == tries.LONGEST_PAUSE


def test_a_task_that_takes_the_database_along_every_time_ends_in_quarantine() -> None:
    result = tasks.effect.delay_on_commit("a")
    assert lose(outage.MOST - 1).quarantined_at is None
    row = lose(1)
    assert row.quarantined_at is not None
    assert row.due_at is None
    assert result.state == states.FAILURE
    assert "the database went away" in str(result.result)


@pytest.mark.usefixtures("admin_client")
def test_who_starts_it_again_gives_it_all_its_tries(admin_client: Client) -> None:
    tasks.effect.delay_on_commit("a")
    row = lose(outage.MOST)
    act(admin_client, "requeue", row)
    row = lose(outage.MOST - 1)
    assert row.quarantined_at is None
    assert row.due_at is not None
    assert lose(1).quarantined_at is not None
    assert len(row.history) == 2 * outage.MOST, "nothing of its history is lost"


def test_a_start_that_was_overtaken_reports_nothing() -> None:
    tasks.effect.delay_on_commit("a")
    row = Task.objects.get()
    assert store.claim(row.id, 0, "me") == 1
    Task.objects.update(starts=2)
    outage.report(row.id, 1, OperationalError("gone"))
    assert Task.objects.get().worker == "me"


@shared_task(bind=True, atomic=False)
def tries_again_on_a_replica(self: Any) -> None:
    """Be retried by a server that only reads meanwhile."""
    if self.request.retries or Task.objects.filter(starts__gt=1).exists():
        tasks.write("done")
        return
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    raise self.retry(countdown=0)


def test_one_that_only_reads_when_the_task_starts_or_ends_is_away_too() -> None:
    result = tries_again_on_a_replica.delay_on_commit()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    deliver()  # it starts, on a new connection, and can't end
    assert Task.objects.get().error.startswith("the database went away: cannot execute")
    assert result.state == states.STARTED
    deliver()
    assert not Task.objects.exists()
    assert tasks.effects() == {"done": 1}


@pytest.mark.parametrize(
    "away",
    [
        "SELECT pg_terminate_backend(pg_backend_pid())",  # as a server that is still starting
        "SET default_transaction_read_only = on",  # as a pooler that leads to a replica by now
    ],
)
def test_it_waits_for_the_database_that_is_away(monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    tasks.effect.delay_on_commit("a")
    row = Task.objects.get()
    token = store.claim(row.id, 0, "me")
    assert token
    attempts = []
    original = outage._postpone

    def postpone(*args: Any) -> None:
        attempts.append(args)
        if len(attempts) == 1:
            with connection.cursor() as cursor:
                cursor.execute(away)
        original(*args)

    monkeypatch.setattr(outage, "_postpone", postpone)
    outage.report(row.id, token, OperationalError("gone"))
    assert len(attempts) == 2
    assert Task.objects.get().reported == 1
