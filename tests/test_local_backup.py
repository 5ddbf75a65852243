"""The dumps of `make run`: made while it runs, restored while it doesn't."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from .local_stack import PERSON, Checkout, names, orm, runs_a_task, wait_for
from .users import USERS

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]

BACKUP = "deploy/local/backup"
PYTHON = ".venv/bin/python"


def url(checkout: Checkout) -> str:
    """Return the database's URL as `make run` wrote it."""
    found = re.search("^DATABASE_URL=(.*)$", (checkout.local / "env").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_a_dump_comes_back_while_make_run_is_stopped(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        stack.until_ready()
        orm(fresh, USERS + "User.objects.create(username='before')")
        dumped = fresh.run(BACKUP, "dump")
        assert dumped.returncode == 0, dumped.stderr
        orm(fresh, USERS + "User.objects.filter(username='before').update(username='after')")
        listed = fresh.run(BACKUP, "restore")
        assert listed.returncode == 0, listed.stderr
        assert "make restore FROM=FILE" in listed.stdout
        name = listed.stdout.split()[0]
        refused = fresh.run(BACKUP, "restore", name)
        assert refused.returncode
        assert "stop it (Ctrl-C in its terminal), type this again" in refused.stderr
        stack.stop()

    wrong = fresh.run(BACKUP, "restore", "nope.dump")
    assert wrong.returncode
    assert "there is no such dump" in wrong.stderr
    restored = fresh.run(BACKUP, "restore", name)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert "proj is as it was at" in restored.stdout
    assert fresh.processes() == []

    with fresh.stack() as stack:
        stack.until_ready()
        assert names(fresh) == ["admin", "before"]
        runs_a_task(stack, fresh)


def test_a_dump_needs_no_make_run_and_keeps_one_from_starting(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        stack.until_ready()
        stack.stop()
    done = fresh.run(BACKUP, "dump")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fresh.processes() == []
    make_run = (PYTHON, "-m", "deploy.local")
    busy = fresh.run(PYTHON, "-m", "deploy.local.alone", *make_run, DATABASE_URL=url(fresh))
    assert "this stack is running already (a backup or a restore, process " in busy.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_first_and_then_postgresql(
    fresh: Checkout, number: signal.Signals
) -> None:
    with fresh.stack() as stack:
        stack.until_ready()
        stack.stop()
    script = "trap 'echo >ended; exit 3' INT TERM; echo >begun; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        fresh.command(PYTHON, "-m", "deploy.local.alone", "sh", "-c", script),
        cwd=fresh.path,
        env={**PERSON, "DATABASE_URL": url(fresh)},
        stdout=subprocess.DEVNULL,
    )
    wait_for((fresh.path / "begun").exists, "the command has begun")
    process.send_signal(number)
    assert process.wait(timeout=180) == 3
    assert (fresh.path / "ended").exists()
    assert fresh.processes() == []
