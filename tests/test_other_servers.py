"""The ledger on RabbitMQ, on Redis Sentinel, and behind PgBouncer: each task counts once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from durable.queue.losses import is_empty
from durable.queue.relay import Relay
from kombu.connection import Connection

from durable.queue import broker
from durable.queue.models import Task
from tests import durable_tasks as tasks
from tests.fixtures_durable import TASKS, all_done, names, send
from tests.fixtures_worker import ROOT, StartRole, database_url, free_port, wait_for
from tests.other_servers import Sentinels, pgbouncer, rabbitmq

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
    pytest.mark.timeout(1200),
]

COUNT = 100


@pytest.fixture
def rows_only(settings: object) -> None:
    """This process writes rows and publishes nothing: the roles alone speak to the broker."""
    settings.DURABLE_PUBLISH_MAX = 0  # type: ignore[attr-defined]


def write_rows() -> None:
    """Call short tasks, long tasks, and one that is retried."""
    send(tasks.effect, names(COUNT))
    send(tasks.slow, ["slow-1", "slow-2"], 0.5)
    tasks.retries.apply_async_on_commit(["retried", 2, 0.1], task_id="retried-id")


EXPECTED = dict.fromkeys([*names(COUNT), "slow-1", "slow-2", "retried-retried-id"], 1)

CALL = "from tests.durable_tasks import effect; effect.delay_on_commit('published by its caller')"


def call_from_a_process(env: dict[str, str]) -> dict[str, int]:
    """Let a process with the settings *env* call a task and publish it; return its effect."""
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", CALL],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url(), **env},
        check=True,
    )
    return {"published by its caller": 1}


@pytest.mark.usefixtures("rows_only")
class TestRabbitMQ:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        with rabbitmq() as url:
            yield url

    def test_each_task_runs_and_counts_once(self, start_role: StartRole, url: str) -> None:
        env = {**TASKS, "CELERY_BROKER_URL": url}
        start_role("beat", **env)
        worker = start_role("worker", **env)
        write_rows()
        more = call_from_a_process(env)
        wait_for(all_done, "all are done", seconds=240)
        assert tasks.effects() == {**EXPECTED, **more}
        assert "Traceback" not in worker.output()

    def test_what_it_forgets_is_sent_again(self, start_role: StartRole, url: str) -> None:
        env = {**TASKS, "CELERY_BROKER_URL": url}
        start_role("beat", **env)
        write_rows()
        wait_for(lambda: purge(url, COUNT), "all have arrived", seconds=240)
        start_role("worker", **env)
        wait_for(all_done, "all are done", seconds=240)
        assert tasks.effects() == EXPECTED

    def test_what_it_refuses_holds_up_nothing_else(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It closes the channel on whoever asks for a queue that isn't there, or is another one."""
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", url)
        broker._forget()
        with Connection(url) as connection_:
            connection_.default_channel.queue_declare("transient", durable=False)
        for queue in ("one", "two", "transient", "default"):
            tasks.effect.apply_async_on_commit([queue], queue=queue)
        Task.objects.filter(queue__in=["one", "two"]).update(due_at=None, sent_at=Now())
        with broker.connect() as connection_:
            assert all(is_empty(connection_, queue) for queue in ("one", "two", "transient"))
        Task.objects.update(due_at=Now())
        Relay().run_once()
        [refused] = Task.objects.exclude(due_at=None)
        assert refused.queue == "transient"
        assert "inequivalent arg 'durable'" in refused.error
        broker._forget()


def purge(url: str, least: int) -> int:
    """Empty the queue of a RabbitMQ once it holds *least* messages; return how many were lost."""
    with Connection(url) as connection_:
        channel = connection_.default_channel
        try:
            waiting = channel.queue_declare("default", passive=True).message_count
        except connection_.channel_errors:  # nothing was sent there yet
            return 0
        return int(channel.queue_purge("default")) if waiting >= least else 0


@pytest.mark.usefixtures("rows_only")
def test_a_failover_of_redis_sentinel_loses_nothing(start_role: StartRole, tmp_path: Path) -> None:
    with ExitStack() as stack:
        sentinels = Sentinels(tmp_path, stack)
        env = {
            **TASKS,
            "CELERY_BROKER_URL": sentinels.url,
            "CELERY_BROKER_TRANSPORT_OPTIONS": f'{{"master_name": "{sentinels.NAME}"}}',
        }
        start_role("beat", **env)
        worker = start_role("worker", **env)
        write_rows()
        wait_for(lambda: len(tasks.effects()) > 10, "some are done", seconds=240)
        more = call_from_a_process(env)
        sentinels.master.kill()
        send(tasks.effect, ["after"])

        def done() -> bool:
            nonlocal worker
            # Kombu may end a worker whose broker is gone; every way to run it starts it again.
            if worker.process.poll() is not None:
                worker = start_role("worker", **env)
            return all_done()

        wait_for(done, "all are done", seconds=240)
    assert tasks.effects() == {**EXPECTED, **more, "after": 1}


@pytest.mark.usefixtures("rows_only")
def test_behind_pgbouncer_each_task_counts_once_though_it_goes_away_meanwhile(
    start_role: StartRole, tmp_path: Path
) -> None:
    port, params = free_port(), connection.get_connection_params()
    env = {
        **TASKS,
        "DATABASE_URL": f"postgresql://proj@127.0.0.1:{port}/{params['dbname']}"
        "?disable_server_side_cursors=true&target_session_attrs=any",
        "RESULTS_PREPARE": "false",
        "BEAT_DATABASE_URL": database_url(),
    }
    with pgbouncer(tmp_path, params, port):
        beat = start_role("beat", **env)
        worker = start_role("worker", **env)
        write_rows()
        wait_for(lambda: len(tasks.effects()) > 10, "some are done", seconds=240)
    with pgbouncer(tmp_path, params, port):
        more = call_from_a_process(env)
        wait_for(all_done, "all are done", seconds=240)
        assert tasks.effects() == {**EXPECTED, **more}
        assert "prepared statement" not in worker.output() + beat.output()
