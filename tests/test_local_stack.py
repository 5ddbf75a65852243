"""`make run`: the whole stack as plain processes; what a person finds, and what heals."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from .local_stack import (
    MANAGE,
    Checkout,
    Stack,
    broker_port,
    can_log_in,
    each,
    names,
    orm,
    pings,
    runs_a_task,
    status,
    wait_for,
)
from .users import USERS

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("stack") / "proj")


@pytest.fixture(scope="module")
def stack(checkout: Checkout) -> Iterator[Stack]:
    with checkout.stack() as stack:
        yield stack.until_ready()


def listening(process: psutil.Process) -> list[str]:
    connections = process.net_connections("tcp")
    return [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN and c.laddr]


def test_the_page_is_there_and_the_stack_is_ready(stack: Stack) -> None:
    assert status(stack, "/") == 200
    assert status(stack, "/readyz") == 200


def test_the_lines_of_each_process_stand_after_its_name(stack: Stack) -> None:
    names = {line.partition(" |")[0].strip() for line in stack.lines if " | " in line}
    # Valkey speaks of what is wrong alone, on many machines of the kernel's vm.overcommit_memory.
    assert names >= {"postgres", "migrate", "web", "worker", "beat"}
    assert "\033" not in stack.output  # no terminal, no colors


def test_the_generated_admin_login_is_shown_kept_for_the_owner_alone_and_works(
    stack: Stack, checkout: Checkout
) -> None:
    shown = stack.until(r"Log in +admin, password (\S+) \(kept in \.local/admin-password\)")
    kept = checkout.local / "admin-password"
    assert kept.read_text().strip() == shown[1]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert can_log_in(stack, "admin", shown[1])
    assert not can_log_in(stack, "admin", "admin")


def test_celery_and_manage_work_by_hand_in_another_terminal(
    stack: Stack, checkout: Checkout
) -> None:
    assert pings(checkout)
    done = checkout.run(*MANAGE, "check", "--database", "default")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nobody_else_on_the_machine_gets_in(stack: Stack, checkout: Checkout) -> None:
    assert listening(stack.role("web")) == ["127.0.0.1"]
    assert listening(stack.role("valkey")) == ["127.0.0.1"]
    assert listening(stack.role("postgres")) == []
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(host=str(checkout.local / "postgres"), user="proj", dbname="proj")
    with socket.create_connection(("127.0.0.1", broker_port(checkout))) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100).startswith(b"-NOAUTH")
    private = [checkout.local / name for name in ("env", "admin-password", "valkey/valkey.conf")]
    private += [checkout.local / name for name in ("postgres", "valkey", "secrets", "run")]
    for path in private:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_secret_stands_on_a_command_line(stack: Stack, checkout: Checkout) -> None:
    secrets = [path.read_text().strip() for path in (checkout.local / "secrets").iterdir()]
    assert len(secrets) >= 3
    for process in checkout.processes():
        words = " ".join(each(process.cmdline, []))
        assert not any(secret in words for secret in secrets), words


def test_a_second_start_says_that_it_runs_and_disturbs_nothing(
    stack: Stack, checkout: Checkout
) -> None:
    before = {process.pid for process in stack.supervisor.children()}  # theirs come and go
    assert len(before) >= 5
    done = checkout.run("make", "run")
    assert done.returncode == 2
    pid = stack.supervisor.pid
    assert done.stdout.splitlines()[-1] == (
        f"this stack is running already (http://127.0.0.1:{stack.port}, process {pid}): use it, or "
        f"stop it by Ctrl-C in its terminal (or: kill {pid})"
    )
    assert before <= {process.pid for process in stack.supervisor.children()}


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_a_role_that_is_killed_comes_back(stack: Stack, checkout: Checkout, name: str) -> None:
    seen = len(stack.lines)
    victim = stack.role(name)
    children = victim.children(recursive=True)
    victim.kill()
    stack.until(rf"{name} was ended by SIGKILL; starting it again in [\d.]+ s", seen)
    wait_for(lambda: not any(child.is_running() for child in children), "its children are gone")
    assert wait_for(lambda: stack.role(name) != victim, f"{name} is back")
    wait_for(lambda: status(stack) == 200, "the page is ready")
    wait_for(lambda: pings(checkout), "a worker answers")


def test_a_broker_that_is_killed_comes_back_and_tasks_run(stack: Stack, checkout: Checkout) -> None:
    seen = len(stack.lines)
    stack.role("valkey").kill()
    stack.until(r"valkey was ended by SIGKILL; starting it again", seen)
    wait_for(lambda: pings(checkout), "a worker answers")
    runs_a_task(stack, checkout)


def test_a_database_that_is_killed_comes_back_with_its_data(
    stack: Stack, checkout: Checkout
) -> None:
    make = f"{USERS}User.objects.create_user('kept')"
    orm(checkout, make)
    seen = len(stack.lines)
    stack.role("postgres").kill()
    stack.until(r"postgres was ended by SIGKILL; starting it again", seen)
    stack.until("database system is ready to accept connections", seen)
    wait_for(lambda: status(stack) == 200, "the page is ready")
    assert names(checkout) == ["admin", "kept"]
    runs_a_task(stack, checkout)
