"""Ticks that are counted: each schedule's time is one effect, whatever happens to beat."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.database.locks import LEADER
from durable.health.tests.healthcheck import healthcheck
from durable.queue.models import Task
from tests import durable_tasks

from .cable import Cable, through
from .fixtures_worker import Role, StartRole, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = {"CELERY_IMPORTS": "tests.durable_tasks"}


#: Keeps the time of each tick, as the beat that made it wrote it down.
TICKS = """
CREATE TABLE test_tick (at timestamptz);
CREATE FUNCTION test_tick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO test_tick VALUES (NEW.last_run_at);
    RETURN NULL;
END $$;
CREATE TRIGGER test_tick AFTER UPDATE OF total_run_count ON django_celery_beat_periodictask
    FOR EACH ROW WHEN (NEW.total_run_count > OLD.total_run_count) EXECUTE FUNCTION test_tick();
"""


@pytest.fixture(autouse=True)
def _effects(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(durable_tasks.CREATE)
        cursor.execute("TRUNCATE test_effect")
        cursor.execute(TICKS)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS test_effect, test_tick")
        cursor.execute("DROP FUNCTION test_tick CASCADE")


def effects() -> int:
    """Count what the ticks have done."""
    return durable_tasks.effects().get("tick", 0)


def schedule(every: int, period: str = "seconds", **fields: Any) -> PeriodicTask:
    """Make the periodic task whose effects are counted."""
    return PeriodicTask.objects.create(
        name="tick",
        task="tests.durable_tasks.effect",
        args='["tick"]',
        interval=IntervalSchedule.objects.create(every=every, period=period),
        **fields,
    )


class Beat:
    """A beat as a process, with its heartbeat in a folder of its own."""

    def __init__(self, role: Role, folder: Path) -> None:
        self.role, self.folder = role, folder

    def heartbeat(self) -> str:
        file = self.folder / "proj-beat.heartbeat"
        return file.read_text() if file.exists() else ""

    def part(self) -> str:
        """Return ``leader`` or ``standby``; nothing before the first heartbeat."""
        return (self.heartbeat().split() or [""])[-1]

    def healthy(self) -> bool:
        reachable = {key: os.environ[key] for key in ("CELERY_BROKER_URL", "DATABASE_URL")}
        return healthcheck("beat", HEARTBEAT_DIR=str(self.folder), **reachable).status == 0

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.role.process.pid, number)

    def goes_round(self, times: int = 3) -> None:
        """Wait until its loop has gone round, and has had the time to do what is due."""
        for _ in range(times):
            before = self.heartbeat()
            wait_for(lambda before=before: self.heartbeat() != before, "its loop goes round")  # type: ignore[misc]


StartBeat = Callable[..., Beat]


@pytest.fixture
def start_beat(start_role: StartRole, tmp_path: Path) -> StartBeat:
    """Start a beat: ``start_beat("a")``."""

    def start(name: str, **env: str) -> Beat:
        folder = tmp_path / f"beat-{name}"
        folder.mkdir(exist_ok=True)
        role = start_role("beat", **{**TASKS, "HEARTBEAT_DIR": str(folder), **env})
        return Beat(role, folder)

    return start


def parts(*beats: Beat) -> dict[str, Beat]:
    """Return who leads and who stands by: on a machine that stood still, they may have changed."""
    found = {beat.part(): beat for beat in beats}
    return found if {*found} == {"leader", "standby"} else {}


@pytest.fixture
def pair(start_role: StartRole, start_beat: StartBeat) -> tuple[Beat, Beat]:
    """A worker, a beat that leads and one that stands by; ticks come every second."""
    start_role("worker", **TASKS)
    schedule(1)
    first = start_beat("a")
    wait_for(lambda: first.part() == "leader", "it leads")
    found = wait_for(partial(parts, first, start_beat("b")), "one leads, the other stands by")
    return found["leader"], found["standby"]


def assert_each_tick_counted_once(*beats: Beat) -> None:
    """Stop *beats*; there are as many effects as ticks, and a second lies between two of them."""
    for beat in beats:
        beat.role.stop()
    wait_for(lambda: not Task.objects.exists(), "all that was sent has run")
    task = PeriodicTask.objects.get()
    assert effects() == task.total_run_count
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM at)::float8 FROM test_tick ORDER BY at")
        ticks = [at for (at,) in cursor.fetchall()]
    assert len(ticks) == effects()
    # By beat's own times: when a tick takes effect depends on the worker, too.
    assert all(later - earlier > 0.99 for earlier, later in pairwise(ticks)), ticks


def test_two_beats_send_each_tick_once(pair: tuple[Beat, Beat]) -> None:
    leader, standby = pair
    wait_for(lambda: effects() >= 6, "some ticks")
    wait_for(partial(parts, leader, standby), "one leads, the other stands by")
    assert leader.healthy()
    assert standby.healthy(), "to stand by is no illness"
    assert_each_tick_counted_once(*pair)


def test_the_standby_takes_over_when_the_leader_is_killed(pair: tuple[Beat, Beat]) -> None:
    leader, standby = pair
    wait_for(lambda: effects() >= 2, "some ticks")
    leader.signal(signal.SIGKILL)
    wait_for(lambda: standby.part() == "leader", "it takes over")
    before = effects()
    wait_for(lambda: effects() >= before + 3, "it sends")
    assert_each_tick_counted_once(standby)


def test_a_leader_that_stops_gives_way_at_once(pair: tuple[Beat, Beat]) -> None:
    leader, standby = pair
    assert leader.role.stop() == 0
    wait_for(lambda: standby.part() == "leader", "it takes over")
    assert_each_tick_counted_once(standby)


def test_a_frozen_leader_is_replaced_and_doubles_nothing_when_it_thaws(
    pair: tuple[Beat, Beat],
) -> None:
    leader, standby = pair
    wait_for(lambda: effects() >= 2, "some ticks")
    leader.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: standby.part() == "leader", "it takes over")
        before = effects()
        wait_for(lambda: effects() >= before + 3, "it sends")
    finally:
        leader.signal(signal.SIGCONT)
    wait_for(lambda: leader.part() == "standby", "the thawed one stands by")
    before = effects()
    wait_for(lambda: effects() >= before + 3, "ticks go on")
    assert leader.role.process.poll() is None
    assert_each_tick_counted_once(*pair)


def test_a_leader_whose_session_ends_goes_on_without_a_restart(pair: tuple[Beat, Beat]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND classid = %s AND objid = %s AND granted",
            LEADER,
        )
    before = effects()
    wait_for(lambda: effects() >= before + 3, "one of them sends")
    assert_each_tick_counted_once(*pair)


@pytest.fixture
def due() -> PeriodicTask:
    """An hourly task that came due, several times, while nothing ran."""
    return schedule(1, "hours", last_run_at=timezone.now() - timedelta(days=7))


def test_a_tick_needs_no_broker(
    start_role: StartRole, start_beat: StartBeat, due: PeriodicTask, broker: Cable
) -> None:
    broker.pull()
    env = {**TASKS, "CELERY_BROKER_URL": through(broker, os.environ["CELERY_BROKER_URL"])}
    start_role("worker", ready="Cannot connect to", **env)
    beat = start_beat("a", **env)
    wait_for(effects, "it runs")
    beat.goes_round()
    due.refresh_from_db()
    assert (effects(), due.total_run_count) == (1, 1)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_repeats_nothing(
    start_role: StartRole, start_beat: StartBeat, due: PeriodicTask, end: signal.Signals
) -> None:
    start_role("worker", **TASKS)
    first = start_beat("a")
    wait_for(effects, "it runs")
    first.signal(end)
    first.role.process.wait(180)
    second = start_beat("b")
    wait_for(lambda: second.part() == "leader", "it leads")
    second.goes_round()
    wait_for(lambda: not Task.objects.exists(), "nothing waits")
    assert effects() == 1


def test_what_was_missed_while_all_was_down_runs_once(
    start_role: StartRole, start_beat: StartBeat, due: PeriodicTask
) -> None:
    start_role("worker", **TASKS)
    beat = start_beat("a")
    wait_for(effects, "it runs")
    beat.goes_round()
    wait_for(lambda: not Task.objects.exists(), "nothing waits")
    assert effects() == 1


def test_what_was_missed_is_skipped_if_a_person_wants_that(
    start_role: StartRole, start_beat: StartBeat, due: PeriodicTask
) -> None:
    start_role("worker", **TASKS)
    start_beat("a", BEAT_RUN_MISSED="false").goes_round()
    assert not Task.objects.filter(task=due.task).exists()  # a canary's may be there
    due.refresh_from_db()
    assert due.total_run_count == 0
