"""What expires, and when."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from celery import current_app
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_celery_results.models import ChordCounter, GroupResult, TaskResult
from pytest_django import Settings

from durable.housekeeping.tasks import purge_cache, purge_results, purge_sessions

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current_app.conf, "result_expires", 3600.0)


def result(task_id: str, hours: float) -> TaskResult:
    """Make a result of so many hours ago."""
    made = TaskResult.objects.create(task_id=task_id)
    when = timezone.now() - timedelta(hours=hours)
    TaskResult.objects.filter(pk=made.pk).update(date_done=when, date_created=when)
    return made


def chord(*task_ids: str) -> ChordCounter:
    """Make the counter of a chord as django-celery-results does."""
    tuples = json.dumps([[[task_id, None], None] for task_id in task_ids])
    return ChordCounter.objects.create(group_id=f"g-{task_ids[0]}", sub_tasks=tuples, count=1)


def test_results_of_tasks_and_groups_go_after_the_time_that_celery_was_told() -> None:
    result("old", 2)
    fresh = result("fresh", 0.5)
    GroupResult.objects.create(group_id="old")
    GroupResult.objects.update(date_done=timezone.now() - timedelta(hours=2))
    group = GroupResult.objects.create(group_id="fresh")
    assert purge_results() == {"groups": 1, "tasks": 1}
    assert list(TaskResult.objects.all()) == [fresh]
    assert list(GroupResult.objects.all()) == [group]


@pytest.mark.parametrize("never", [None, 0, timedelta(0)])
def test_nothing_goes_when_results_never_expire(
    never: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(current_app.conf, "result_expires", never)
    result("old", 10_000)
    assert purge_results() == {}
    assert TaskResult.objects.exists()


def test_the_time_may_be_a_timedelta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current_app.conf, "result_expires", timedelta(hours=3))
    result("a", 2)
    assert purge_results()["tasks"] == 0
    result("b", 4)
    assert purge_results()["tasks"] == 1


def test_a_chord_that_never_ended_goes_with_its_results_and_so_do_older_ones() -> None:
    chord("lost")  # none of its tasks ever stored a result
    chord("a", "b")
    result("a", 2)
    running, waiting = chord("c", "d"), chord("e")
    result("c", 0.5)
    assert purge_results() == {"chords": 2, "groups": 0, "tasks": 1}
    assert list(ChordCounter.objects.order_by("id")) == [running, waiting]


def test_expired_sessions_go() -> None:
    old, fresh = SessionStore(), SessionStore()
    old.set_expiry(timezone.now() - timedelta(seconds=60))
    for session in (old, fresh):
        session.create()
    assert purge_sessions() == 1
    assert Session.objects.get().session_key == fresh.session_key


def test_expired_entries_of_the_cache_go(settings: Settings) -> None:
    call_command("createcachetable")
    cache.set("fresh", 1, timeout=3600)
    cache.set("old", 1, timeout=3600)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_cache SET expires = '2020-01-01Z' WHERE cache_key LIKE '%old'"
        )
    assert purge_cache() == {"django_cache": 1}
    assert cache.get("fresh") == 1
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert purge_cache() == {}
