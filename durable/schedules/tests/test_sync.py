"""Schedules from code in the database, beside what a person changes in the admin."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from durable.schedules.declare import Schedule, declared
from durable.schedules.management.commands import sync_schedules
from durable.schedules.models import DeclaredSchedule
from durable.schedules.sync import synchronize
from tests.fixtures_worker import wait_for

HOURLY = Schedule("hourly", "proj.celery.debug_task", every=timedelta(hours=1))


def hourly(**changes: Any) -> Schedule:
    """Return the declaration with other fields, as a later version of the code has it."""
    return Schedule(**{"name": "hourly", "task": "proj.celery.debug_task", **changes})


def row() -> PeriodicTask:
    return PeriodicTask.objects.get(name="hourly")


def state() -> list[tuple[Any, ...]]:
    """Return all that a second run must leave alone."""
    return [
        *PeriodicTask.objects.values_list().order_by("pk"),
        *IntervalSchedule.objects.values_list().order_by("pk"),
        *PeriodicTasks.objects.values_list(),
    ]


@pytest.mark.django_db
class TestWithoutAPerson:
    """The code alone decides."""

    def test_a_declared_schedule_is_created_with_all_that_it_says(self) -> None:
        said = synchronize(
            [
                HOURLY,
                Schedule(
                    "nightly",
                    "proj.celery.debug_task",
                    crontab="30 4 * * mon-fri",
                    args=[1, "a"],
                    kwargs={"deep": {"er": [None]}},
                    queue="mail",
                    description="At night.",
                ),
            ]
        )
        assert said == ["hourly: created", "nightly: created"]
        assert str(row().interval) == "every hour"
        assert row().queue is None
        nightly = PeriodicTask.objects.get(name="nightly")
        assert str(nightly.crontab) == "30 4 * * mon-fri (m/h/dM/MY/d) UTC"
        assert (nightly.args, nightly.kwargs) == ('[1, "a"]', '{"deep": {"er": [null]}}')
        assert (nightly.queue, nightly.description) == ("mail", "At night.")

    def test_a_second_run_changes_nothing_and_says_nothing(self) -> None:
        schedules = [HOURLY, Schedule("n", "proj.celery.debug_task", crontab="0 4 * * *")]
        synchronize(schedules)
        before = state()
        assert synchronize(schedules) == []
        assert state() == before

    def test_a_changed_declaration_changes_the_row_and_tells_beat(self) -> None:
        synchronize([HOURLY])
        before = PeriodicTasks.last_change()
        assert synchronize([hourly(crontab="0 * * * *", kwargs={"a": 1})]) == [
            "hourly: updated (timing, kwargs)"
        ]
        assert row().interval is None
        assert str(row().crontab).startswith("0 * * * *")
        assert row().kwargs == '{"a": 1}'
        assert PeriodicTasks.last_change() > before

    def test_what_beat_counts_survives_a_change_of_the_declaration(self) -> None:
        synchronize([HOURLY])
        PeriodicTask.objects.update(total_run_count=7)
        synchronize([hourly(every=timedelta(hours=2))])
        assert row().total_run_count == 7

    def test_a_schedule_that_is_no_longer_declared_is_deleted(self) -> None:
        synchronize([HOURLY])
        assert synchronize([]) == ["hourly: no longer declared, deleted"]
        assert not PeriodicTask.objects.exists()
        assert synchronize([]) == []

    def test_schedules_share_the_rows_of_their_intervals(self) -> None:
        synchronize([HOURLY, Schedule("b", "proj.celery.debug_task", every=timedelta(hours=1))])
        assert IntervalSchedule.objects.count() == 1


@pytest.mark.django_db
class TestWithAPerson:
    """What a person changed in the admin stays, whatever the code says later."""

    @pytest.fixture(autouse=True)
    def _declared(self) -> None:
        synchronize([HOURLY])

    def test_a_change_is_kept_and_said(self) -> None:
        PeriodicTask.objects.update(queue="mail")
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (queue)"]
        assert row().queue == "mail"

    def test_a_disabled_schedule_stays_disabled(self) -> None:
        PeriodicTask.objects.update(enabled=False)
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (enabled)"]
        assert not row().enabled

    def test_the_other_fields_still_follow_the_code(self) -> None:
        PeriodicTask.objects.update(queue="mail")
        assert synchronize([hourly(every=timedelta(hours=2), queue="reports")]) == [
            "hourly: updated (timing); changed by hand, kept (queue)"
        ]
        assert (str(row().interval), row().queue) == ("every 2 hours", "mail")

    def test_a_change_that_the_code_makes_as_well_is_one_no_more(self) -> None:
        PeriodicTask.objects.update(queue="mail")
        assert synchronize([hourly(every=timedelta(hours=1), queue="mail")]) == []
        assert synchronize([hourly(every=timedelta(hours=1), queue="reports")]) == [
            "hourly: updated (queue)"
        ]

    def test_a_change_of_the_interval_that_several_tasks_share_counts_as_one(self) -> None:
        IntervalSchedule.objects.update(every=3)
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (timing)"]
        assert str(row().interval) == "every 3 hours"

    def test_arguments_that_are_no_json_are_a_change_too(self) -> None:
        PeriodicTask.objects.update(args="[")
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (args)"]

    def test_a_deleted_schedule_is_not_made_again(self) -> None:
        row().delete()
        said = synchronize([hourly(every=timedelta(hours=2))])
        assert said[0].startswith("hourly: was deleted by hand, stays so")
        assert not PeriodicTask.objects.exists()

    def test_a_deleted_schedule_comes_back_when_its_entry_is_deleted_as_well(self) -> None:
        row().delete()
        DeclaredSchedule.objects.all().delete()
        assert synchronize([HOURLY]) == ["hourly: created"]

    def test_a_changed_schedule_that_is_no_longer_declared_is_the_persons_own(self) -> None:
        PeriodicTask.objects.update(description="Mine.")
        assert synchronize([]) == [
            "hourly: no longer declared; changed by hand, so it is kept and still runs"
        ]
        assert row().description == "Mine."
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (description)"]

    def test_a_schedule_that_was_deleted_by_hand_and_in_code_is_forgotten(self) -> None:
        row().delete()
        assert synchronize([]) == ["hourly: no longer declared"]
        assert synchronize([HOURLY]) == ["hourly: created"]

    def test_a_persons_own_schedule_is_never_touched(self) -> None:
        mine = PeriodicTask.objects.create(
            name="mine", task="x", interval=IntervalSchedule.objects.create(every=5, period="days")
        )
        synchronize([])
        assert PeriodicTask.objects.get(pk=mine.pk).task == "x"

    def test_a_row_that_was_there_before_its_declaration_is_a_persons(self) -> None:
        PeriodicTask.objects.update(name="older", queue="mail")
        older = Schedule("older", "proj.celery.debug_task", every=timedelta(hours=1))
        assert "older: changed by hand, kept (queue)" in synchronize([older])


@pytest.mark.django_db(transaction=True)
def test_several_migrate_roles_at_once_make_each_schedule_once() -> None:
    schedules = [HOURLY, Schedule("b", "proj.celery.debug_task", every=timedelta(hours=1))]
    said: list[str] = []

    def run() -> None:
        try:
            said.extend(synchronize(schedules))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE durable_schedules_declaredschedule IN ROW EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        wait_for(lambda: waiting(cursor) == len(threads), "all of them wait for their turn")
        cursor.execute("COMMIT")
    for thread in threads:
        thread.join()
    assert sorted(said) == ["b: created", "hourly: created"]
    assert IntervalSchedule.objects.count() == 1


def waiting(cursor: Any) -> int:
    cursor.execute(
        "SELECT count(*) FROM pg_locks "
        "WHERE NOT granted AND relation = 'durable_schedules_declaredschedule'::regclass"
    )
    return int(cursor.fetchone()[0])


@pytest.mark.django_db
class TestTheCommand:
    """``manage.py sync_schedules``, as the migrate role runs it."""

    def test_it_writes_what_the_apps_of_this_project_declare(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("sync_schedules")
        names = {schedule.name for schedule in declared()}
        assert set(PeriodicTask.objects.values_list("name", flat=True)) == names
        assert f"{len(names)} declared in code are in place." in capsys.readouterr().out
        call_command("sync_schedules")
        assert "created" not in capsys.readouterr().out

    def test_a_task_that_nobody_knows_stops_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        typo = [Schedule("typo", "proj.celery.debug_tusk", every=timedelta(hours=1))]
        monkeypatch.setattr(sync_schedules, "declared", lambda: typo)
        with pytest.raises(CommandError) as caught:
            call_command("sync_schedules")
        assert str(caught.value) == (
            "schedule 'typo': there is no task 'proj.celery.debug_tusk'; "
            "did you mean proj.celery.debug_task?"
        )
        assert not PeriodicTask.objects.exists()
