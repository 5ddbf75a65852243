"""`make run` stops without a trace, and starts again after whatever ended it."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from .local_stack import (
    Checkout,
    broker_port,
    can_log_in,
    each,
    names,
    orm,
    runs_a_task,
    wait_for,
)
from .users import USERS

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]


def test_ctrl_c_lets_a_running_task_finish_and_leaves_no_process(fresh: Checkout) -> None:
    (fresh.path / "slow.py").write_text(
        "import pathlib, time\n"
        "from celery import shared_task\n"
        "@shared_task(name='slow')\n"
        "def slow():\n"
        "    pathlib.Path('begun').touch()\n"
        "    while not pathlib.Path('go-on').exists():\n"
        "        time.sleep(0.05)\n"
        "    pathlib.Path('finished').touch()\n"
    )
    with fresh.stack(CELERY_IMPORTS="slow", CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="35") as stack:
        stack.until_ready()
        orm(fresh, "from proj.celery import app; app.send_task('slow')")
        wait_for((fresh.path / "begun").exists, "the task has begun")
        # As a terminal does: to make and to all that is in its process group.
        os.killpg(stack.process.pid, signal.SIGINT)
        stack.until("stopping; once more to stop at once")
        assert not (fresh.path / "finished").exists()
        (fresh.path / "go-on").touch()
        stack.ended()
        assert (fresh.path / "finished").exists()
        assert stack.lines[-1].startswith("make: ") or stack.lines[-1] == "local    | stopped"
        assert fresh.processes() == []
        assert not list((fresh.local / "postgres").glob(".s.PGSQL*"))


def test_a_second_ctrl_c_stops_at_once(fresh: Checkout) -> None:
    (fresh.path / "stuck.py").write_text(
        "import pathlib, time\n"
        "from celery import shared_task\n"
        "@shared_task(name='stuck')\n"
        "def stuck():\n"
        "    pathlib.Path('begun').touch()\n"
        "    time.sleep(300)\n"
    )
    with fresh.stack(CELERY_IMPORTS="stuck") as stack:
        stack.until_ready()
        orm(fresh, "from proj.celery import app; app.send_task('stuck')")
        wait_for((fresh.path / "begun").exists, "the task has begun")
        supervisor = stack.supervisor
        supervisor.send_signal(signal.SIGINT)
        stack.until("stopping; once more to stop at once")
        supervisor.send_signal(signal.SIGINT)
        stack.until("worker is killed as told")
        stack.ended()
        assert "database system is shut down" in stack.output
        assert fresh.processes() == []


def test_term_stops_it_and_the_next_run_has_the_data_and_the_admin(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        first = stack.until_ready().until(r"Log in +admin, password (\S+)")[1]
        orm(fresh, f"{USERS}User.objects.create_user('kept')")
        port = broker_port(fresh)
        stack.stop()
        assert fresh.processes() == []
    with fresh.stack() as stack:
        stack.until_ready()
        stack.until(r"Log in +admin, password in \.local/admin-password")
        assert names(fresh) == ["admin", "kept"]
        assert broker_port(fresh) == port
        assert can_log_in(stack, "admin", first)


def test_a_kill_of_everything_is_recovered_by_the_next_run(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        stack.until_ready()
        orm(fresh, f"{USERS}User.objects.create_user('kept')")
        everything = [stack.supervisor, *fresh.processes()]
        for process in everything:
            each(process.suspend, None)  # so that none of them can tidy up after another
        for process in everything:
            each(process.kill, None)
        psutil.wait_procs(everything, timeout=120)
        assert (fresh.local / "postgres" / "data" / "postmaster.pid").exists()
    with fresh.stack() as stack:
        stack.until_ready()
        assert "automatic recovery in progress" in stack.output
        assert names(fresh) == ["admin", "kept"]
        runs_a_task(stack, fresh)


def test_a_kill_of_the_supervisor_alone_ends_the_rest(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        stack.until_ready()
        stack.supervisor.kill()
        wait_for(lambda: not fresh.processes(), "all of it is gone")
    with fresh.stack() as stack:
        stack.until_ready()
