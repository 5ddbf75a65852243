"""A broker that is away, frozen, full or empty: durable tasks go on, and plain ones come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import redis
from celery import states

from durable.health.tests.healthcheck import healthcheck
from durable.queue.endings import quarantine
from durable.queue.models import Task
from tests import durable_tasks as tasks
from tests import probe_tasks
from tests.cable import Cable, through
from tests.fixtures_durable import TASKS, all_done, client, names, send
from tests.fixtures_worker import PATIENCE, ROOT, StartRole, database_url, free_port, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

ENV = {**TASKS, "CELERY_IMPORTS": "tests.durable_tasks,tests.probe_tasks"}


@contextmanager
def cut_off(server: Cable) -> Iterator[None]:
    server.pull()
    yield
    server.plug()


@contextmanager
def frozen(server: Cable) -> Iterator[None]:
    """Stop the test's own broker by SIGSTOP."""
    pid = int(client().info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def admin() -> redis.Redis:
    """Return a connection that may do what an attacker, or a careless person, could do."""
    url = os.environ.get("BROKER_ADMIN_URL") or os.environ["CELERY_BROKER_URL"]
    return redis.Redis.from_url(url)


@contextmanager
def full(server: Cable) -> Iterator[None]:
    admin().config_set("maxmemory", 1)
    try:
        yield
    finally:
        admin().config_set("maxmemory", 0)


@contextmanager
def wiped(server: Cable) -> Iterator[None]:
    admin().flushall()
    yield


TROUBLES: tuple[Callable[[Cable], AbstractContextManager[None]], ...] = (
    frozen, cut_off, full, wiped,
)  # fmt: skip


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_durable_tasks_do_not_notice_what_happens_to_the_broker_and_plain_ones_come_back(
    start_role: StartRole, broker: Cable, pool: str
) -> None:
    broker.pull()  # from the start
    url = through(broker, os.environ["CELERY_BROKER_URL"])
    worker = start_role(
        "worker", "--pool", pool, ready="Cannot connect to", CELERY_BROKER_URL=url, **ENV
    )
    everything = dict.fromkeys(names(20), 1)
    for result in send(tasks.effect, names(20)):
        result.get(timeout=PATIENCE)
    # Its error callback is a plain message: the failure waits for the broker, and is no crash.
    fails = tasks.fails.apply_async_on_commit(["f"], link_error=tasks.effect.si("told"))
    wait_for(lambda: waits_for_the_broker(fails.id), "its end is tried, and postponed")
    broker.plug()
    wait_for(lambda: fails.state == states.FAILURE, "its end is stored", 120)
    for trouble in TROUBLES:
        assert probe_tasks.add.delay(1, 2).get(timeout=120) == 3
        with trouble(broker):
            if trouble is frozen and pool == "prefork":  # its own heartbeat meets it as well
                worker.wait_for_line("Connection to broker lost")
            labels = [f"{trouble.__name__} {name}" for name in names(20)]
            everything |= dict.fromkeys(labels, 1)
            again = tasks.retries.delay_on_commit(trouble.__name__, 1, 0.1)
            everything[f"{trouble.__name__}-{again.id}"] = 1
            for result in [*send(tasks.effect, labels), again]:
                result.get(timeout=PATIENCE)
    assert probe_tasks.add.delay(2, 2).get(timeout=120) == 4
    wait_for(all_done, "all are done")
    done = tasks.effects()
    assert done.pop("told") >= 1  # as error callbacks are called
    assert done == everything


def waits_for_the_broker(task_id: str) -> bool:
    lines = Task.objects.get(task_id=task_id).history
    return any(line["what"].startswith(quarantine.BROKER_AWAY.label) for line in lines)


def test_a_broker_that_connects_slowly_loses_no_plain_task(
    start_role: StartRole, broker: Cable
) -> None:
    broker.delay = 0.5  # longer than the worker's event loop stands still for it
    start_role("worker", CELERY_BROKER_URL=through(broker, os.environ["CELERY_BROKER_URL"]), **ENV)
    assert probe_tasks.add.delay(1, 2).get(timeout=PATIENCE) == 3


CALLS = """
from celery import chain
from kombu.exceptions import OperationalError
from proj.celery import app
from tests.durable_tasks import effect, plain_gate

effect.delay("a")
chain(effect.si("b"), effect.si("c")).delay()
for refused in (app.control.inspect().ping, lambda: app.send_task("elsewhere.work")):
    try:
        refused()
    except OperationalError as error:
        print(error)
"""


def test_without_any_broker_every_role_does_its_work_and_says_what_needs_one(
    start_role: StartRole, tmp_path: Path
) -> None:
    bind = f"127.0.0.1:{free_port()}"
    env = {**ENV, "CELERY_BROKER_URL": "", "DURABLE_DELAY": "true", "WEB_BIND": bind}
    folders = {role: str(tmp_path / role) for role in ("worker", "beat", "web")}
    for role, folder in folders.items():
        start_role(role, HEARTBEAT_DIR=folder, **env)
    called = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", CALLS],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": database_url(), **env}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert called.stdout.count("there is no broker: CELERY_BROKER_URL is not set") == 2
    wait_for(lambda: tasks.effects() == {"a": 1, "b": 1, "c": 1} and all_done(), "all are done")
    probes: dict[str, list[str]] = {"worker": [], "beat": [], "web": ["readyz"]}

    def all_healthy() -> bool:
        return not any(
            healthcheck(
                role, *path, HEARTBEAT_DIR=folders[role], WEB_BIND=bind, CELERY_BROKER_URL=""
            ).status
            for role, path in probes.items()
        )

    wait_for(all_healthy, "every role is healthy")
