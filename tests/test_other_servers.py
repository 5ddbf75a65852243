"""Workers on RabbitMQ, on Redis Sentinel, and behind PgBouncer: each task counts once."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from django.db import connection

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


def write_rows() -> None:
    """Call short tasks, long tasks, and one that is retried."""
    send(tasks.effect, names(COUNT))
    send(tasks.slow, ["slow-1", "slow-2"], 0.5)
    tasks.retries.apply_async_on_commit(["retried", 2, 0.1], task_id="retried-id")


EXPECTED = dict.fromkeys([*names(COUNT), "slow-1", "slow-2", "retried-retried-id"], 1)

CALL = "from tests.durable_tasks import effect; effect.{}('called elsewhere')"


def call_from_a_process(env: dict[str, str], method: str) -> dict[str, int]:
    """Let a process with the settings *env* call a task; return its effect."""
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", CALL.format(method)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url(), **env},
        check=True,
    )
    return {"called elsewhere": 1}


def test_on_rabbitmq_each_task_runs_and_counts_once(start_role: StartRole) -> None:
    with rabbitmq() as url:
        env = {**TASKS, "CELERY_BROKER_URL": url}
        worker = start_role("worker", **env)
        write_rows()
        everything = {**EXPECTED, **call_from_a_process(env, "delay")}
        wait_for(lambda: tasks.effects() == everything, "all are done", seconds=240)
        assert all_done()
        assert "Traceback" not in worker.output()


def test_a_failover_of_redis_sentinel_loses_nothing_and_plain_tasks_come_back(
    start_role: StartRole, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        sentinels = Sentinels(tmp_path, stack)
        env = {
            **TASKS,
            "CELERY_BROKER_URL": sentinels.url,
            "CELERY_BROKER_TRANSPORT_OPTIONS": f'{{"master_name": "{sentinels.NAME}"}}',
        }
        worker = start_role("worker", **env)
        sentinels.master.kill()
        write_rows()

        def lives() -> bool:
            nonlocal worker
            # Kombu may end a worker whose broker is gone; every way to run it starts it again.
            if worker.process.poll() is not None:
                with suppress(pytest.fail.Exception):  # ended as well
                    worker = start_role("worker", **env)
            return worker.process.poll() is None

        wait_for(lambda: lives() and all_done(), "all are done", seconds=240)
        assert tasks.effects() == EXPECTED
        wait_for(sentinels.has_another_master, "another one is the master", seconds=240)
        plain = call_from_a_process(env, "delay")
        everything = {**EXPECTED, **plain}
        wait_for(lambda: lives() and tasks.effects() == everything, "that too", seconds=240)


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
        more = call_from_a_process(env, "delay_on_commit")
        wait_for(all_done, "all are done", seconds=240)
        assert tasks.effects() == {**EXPECTED, **more}
        assert "prepared statement" not in worker.output() + beat.output()
