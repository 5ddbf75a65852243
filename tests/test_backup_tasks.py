"""What a restore means for tasks: those of the dump run, what came after it never does.

A worker that was not stopped may hold or run rows that are gone, whose ids would be given again,
or rows that went back to an earlier attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, connections

from durable.backups.models import Backup
from durable.queue import store
from durable.queue.models import Task, Worker
from tests import durable_tasks as tasks
from tests.backups import Backups
from tests.fixtures_durable import TASKS, all_done, send
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]


class Own(Backups):
    """Dumps of the tests' own database, which this process lets go of meanwhile."""

    def restore(self, name: str, **env: str) -> None:
        connections.close_all()
        self.run("restore", name, **env)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    own = Own(tmp_path / "backups", str(connection.settings_dict["NAME"]))
    # The probes that other tests asked keep a connection, and so may a thread that ended.
    connections.close_all()
    own.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        own.database,
        database="postgres",
    )
    yield own
    connections.close_all()
    for suffix in own.databases():
        name = f"{own.database}{suffix}"
        own.execute(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")


def test_what_was_called_before_the_dump_runs_and_what_was_called_after_it_does_not(
    own: Own, start_role: StartRole
) -> None:
    send(tasks.effect, ["a", "b"])
    name = own.dump()
    send(tasks.effect, ["undone-1", "undone-2"])
    undone = set(Task.objects.values_list("id", flat=True))
    own.restore(name)
    send(tasks.effect, ["c", "d"])
    assert not undone & set(Task.objects.filter(body__regex='"[cd]"').values_list("id", flat=True))
    start_role("worker", **TASKS)
    wait_for(all_done, "all rows are finished")
    assert tasks.effects() == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_a_task_that_finished_after_the_dump_runs_again_as_its_effect_was_undone_too(
    own: Own, start_role: StartRole
) -> None:
    send(tasks.effect, ["a"])
    name = own.dump()
    worker = start_role("worker", **TASKS)
    wait_for(all_done, "it is done")
    assert tasks.effects() == {"a": 1}
    worker.stop()
    own.restore(name)
    assert tasks.effects() == {}
    start_role("worker", **TASKS)
    wait_for(all_done, "it is done again")
    assert tasks.effects() == {"a": 1}


def test_no_worker_from_before_the_restore_can_begin_or_end_a_row_of_it(own: Own) -> None:
    """Not even one that it held: it may know the arguments of a retry that was undone."""
    send(tasks.effect, ["running", "held", "ready"])
    running, held, ready = Task.objects.order_by("id")
    worker = Worker.objects.create(id="of that time", hostname="h", pid=1, slots=1)
    for number in range(4):
        store.hold_one(running.pk, worker.id)
        assert store.begin(running.pk, number, worker.id) == number + 1
        Task.objects.filter(pk=running.pk, attempt__lt=4).update(worker=None, started_at=None)
    store.hold_one(held.pk, worker.id)
    own.restore(own.dump())
    assert store.begin(held.pk, 0, worker.id) is None
    assert not store.finish_one(running.pk, 4)
    assert not store.finish([(held.pk, 0), (ready.pk, 0)])
    for row in Task.objects.all():
        assert (row.worker, row.started_at, row.attempt) == (None, None, row.clean_attempt)
        assert row.attempt > 1_000_000
        assert row.history[-1]["what"] == "came back with a restore"
    assert {row.task_id for row in store.hold("w", store.lanes(["default"]), 9)} == {
        running.task_id, held.task_id, ready.task_id
    }  # fmt: skip
    assert not Worker.objects.exists()


def test_tasks_can_be_held_back_until_a_person_starts_them(own: Own) -> None:
    """After a restore of an old dump, its mails would come late."""
    send(tasks.effect, ["a"])
    own.restore(own.dump(), BACKUP_HOLD_TASKS="true")
    entry = Task.objects.get()
    assert entry.quarantined_at
    assert "BACKUP_HOLD_TASKS" in entry.error


def test_what_is_in_quarantine_stays_there(own: Own) -> None:
    send(tasks.effect, ["a"])
    Task.objects.update(quarantined_at="2026-01-01T00:00Z", attempt=7, clean_attempt=2)
    own.restore(own.dump())
    entry = Task.objects.get()
    assert entry.quarantined_at
    assert entry.attempt - entry.clean_attempt == 5


def test_settle_does_the_same_for_a_database_that_was_brought_back_by_other_means(own: Own) -> None:
    [result] = send(tasks.effect, ["a"])
    connections.close_all()
    own.run("settle")
    entry = Task.objects.get(task_id=result.id)
    assert entry.attempt > 1_000_000
    [other] = send(tasks.effect, ["b"])
    assert Task.objects.get(task_id=other.id).pk > 10**15


def test_the_backups_write_down_what_became_of_them(own: Own) -> None:
    name = own.dump()
    backup = Backup.objects.get(file=name)
    assert backup.dumped_at
    assert backup.proven_at is None
    assert backup.bytes == (own.folder / name).stat().st_size
    own.run("drill")
    backup.refresh_from_db()
    assert backup.proven_at
    assert backup.rows
    path = own.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    own.refuse("drill")
    backup.refresh_from_db()
    assert backup.proven_at is None
    assert "checksum" in backup.error
    own.run("dump", BACKUP_KEEP_LAST="1", BACKUP_KEEP_DAILY="1", BACKUP_KEEP_WEEKLY="1")
    assert not Backup.objects.filter(file=name).exists()


def test_a_restored_database_knows_the_dump_that_it_is_made_of(own: Own) -> None:
    name = own.dump()
    own.restore(name)
    assert Backup.objects.get(file=name).proven_at
