"""`make run`: the whole stack as plain processes, started as a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import psutil
import psycopg
import pytest

from .local_stack import Checkout, Stack, wait_for

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]
CELERY, MANAGE = ".venv/bin/celery", (".venv/bin/python", "manage.py")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("stack") / "proj")


@pytest.fixture(scope="module")
def stack(checkout: Checkout) -> Iterator[Stack]:
    with checkout.stack() as stack:
        yield stack.until_ready()


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "proj")


def status(stack: Stack, path: str = "/readyz") -> int:
    try:
        with urlopen(f"http://127.0.0.1:{stack.port}{path}", timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def orm(checkout: Checkout, code: str) -> str:
    """Run *code* in Django's shell, by hand, and return the last line that it prints."""
    done = checkout.run(*MANAGE, "shell", "--no-imports", "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout.splitlines() or [""])[-1]


def can_log_in(stack: Stack, name: str, password: str) -> bool:
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    address = f"http://127.0.0.1:{stack.port}/admin/login/?next=/admin/"
    page = browser.open(address, timeout=10).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"csrfmiddlewaretoken": token[1], "username": name, "password": password}
    answer = browser.open(address, urlencode(form).encode(), timeout=10)
    return bool(urlsplit(answer.url).path == "/admin/")


def listening(process: psutil.Process) -> list[str]:
    connections = process.net_connections("tcp")
    return [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN and c.laddr]


# --- What a person finds ----------------------------------------------------------------------


def test_the_page_is_there_and_the_stack_is_ready(stack: Stack) -> None:
    assert status(stack, "/") == 200
    assert status(stack, "/readyz") == 200


def test_the_lines_of_each_process_stand_after_its_name(stack: Stack) -> None:
    names = {line.partition(" |")[0].strip() for line in stack.lines if " | " in line}
    assert names >= {"postgres", "valkey", "migrate", "web", "worker", "beat"}
    assert "\033" not in stack.output  # no terminal, no colours


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
    done = checkout.run(CELERY, "-A", "proj", "inspect", "ping")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pong" in done.stdout
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
        words = " ".join(process.cmdline())
        assert not any(secret in words for secret in secrets), words


def broker_port(checkout: Checkout) -> int:
    return int((checkout.local / "valkey" / "port").read_text())


def test_a_second_start_says_that_it_runs_and_disturbs_nothing(
    stack: Stack, checkout: Checkout
) -> None:
    before = {process.pid for process in checkout.processes()}
    done = checkout.run("make", "run")
    assert done.returncode == 2
    pid = stack.supervisor.pid
    assert done.stdout.splitlines()[-1] == (
        f"this stack is running already (http://127.0.0.1:{stack.port}, process {pid}): use it, or "
        f"stop it by Ctrl-C in its terminal (or: kill {pid})"
    )
    assert before <= {process.pid for process in checkout.processes()}


# --- What breaks heals ------------------------------------------------------------------------


def pings(checkout: Checkout) -> bool:
    return "pong" in checkout.run(CELERY, "-A", "proj", "inspect", "ping").stdout


def runs_a_task(stack: Stack, checkout: Checkout) -> None:
    """Send a task by hand and wait until the worker has run it."""
    send = "from proj.celery import debug_task; print(debug_task.delay().id)"
    task = orm(checkout, send)
    stack.until(rf"Task proj\.celery\.debug_task\[{task}\] succeeded")


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
    make = "from django.contrib.auth.models import User; User.objects.create_user('kept')"
    orm(checkout, make)
    seen = len(stack.lines)
    stack.role("postgres").kill()
    stack.until(r"postgres was ended by SIGKILL; starting it again", seen)
    stack.until("database system is ready to accept connections", seen)
    wait_for(lambda: status(stack) == 200, "the page is ready")
    assert names(checkout) == ["admin", "kept"]
    runs_a_task(stack, checkout)


def names(checkout: Checkout) -> list[str]:
    users = "User.objects.order_by('username').values_list('username', flat=True)"
    code = (
        f"import json; from django.contrib.auth.models import User; print(json.dumps([*{users}]))"
    )
    return list(json.loads(orm(checkout, code)))


# --- Stopping, and starting again -------------------------------------------------------------


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
    with fresh.stack(CELERY_IMPORTS="slow", CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="10") as stack:
        stack.until_ready()
        orm(fresh, "from proj.celery import app; app.send_task('slow')")
        wait_for((fresh.path / "begun").exists, "the task has begun")
        everything = fresh.processes()
        # As a terminal does: to make and to all that is in its process group.
        os.killpg(stack.process.pid, signal.SIGINT)
        stack.until("stopping; once more to stop at once")
        assert not (fresh.path / "finished").exists()
        (fresh.path / "go-on").touch()
        stack.process.wait(timeout=60)
        assert (fresh.path / "finished").exists()
        assert stack.lines[-1].startswith("make: ") or stack.lines[-1] == "local    | stopped"
        assert not [process for process in everything if process.is_running()]
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
        stack.process.wait(timeout=30)
        assert "database system is shut down" in stack.output
        assert fresh.processes() == []


def test_term_stops_it_and_the_next_run_has_the_data_and_the_admin(fresh: Checkout) -> None:
    with fresh.stack() as stack:
        first = stack.until_ready().until(r"Log in +admin, password (\S+)")[1]
        orm(fresh, "from django.contrib.auth.models import User; User.objects.create_user('kept')")
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
        orm(fresh, "from django.contrib.auth.models import User; User.objects.create_user('kept')")
        everything = [stack.supervisor, *fresh.processes()]
        for process in everything:
            process.suspend()  # so that none of them can tidy up after another
        for process in everything:
            process.kill()
        psutil.wait_procs(everything, timeout=30)
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


# --- What a person sees when it can't start ---------------------------------------------------


def test_a_taken_port_is_named_with_what_to_type_before_anything_starts(fresh: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = fresh.run("make", "run", f"PORT={port}")
    assert done.returncode == 2
    assert re.fullmatch(
        rf"port {port} is taken \(\S+, process {os.getpid()}\); type: make run PORT=(\d+)\n",
        done.stdout,
    )
    assert not (fresh.local / "postgres").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(fresh: Checkout, port: str) -> None:
    done = fresh.run("make", "run", PORT=port)
    assert done.returncode == 2
    expected = f"PORT={port!r}: expected a number from 1 to 65535: make run PORT=8001\n"
    assert done.stdout == expected


def test_a_wrong_setting_stops_the_start_with_its_line_and_leaves_nothing(fresh: Checkout) -> None:
    with fresh.stack(CELERY_TASK_TIME_LIMIT="soon") as stack:
        assert stack.process.wait(timeout=60) == 2
        assert "migrate  | CELERY_TASK_TIME_LIMIT='soon'" in stack.output
        assert "local    | migrate ended with status 1: its lines are above" in stack.output


def test_a_role_that_can_not_start_stops_everything(fresh: Checkout) -> None:
    with fresh.stack(CELERY_WORKER_POOL="nonsense") as stack:
        assert stack.process.wait(timeout=90) == 2
        expected = "local    | worker ended 3 times before it was ready: its lines are above"
        assert expected in stack.lines


# --- Other arrangements -----------------------------------------------------------------------


def test_servers_from_outside_replace_the_embedded_ones(fresh: Checkout) -> None:
    database, broker = os.environ["DATABASE_URL"], os.environ["CELERY_BROKER_URL"]
    with psycopg.connect(database, autocommit=True) as link:
        link.execute("CREATE DATABASE outside")
    outside = re.sub(r"/\w+(\?|$)", r"/outside\1", database, count=1)
    other = re.sub(r"/\d+$", "/7", broker)
    (fresh.path / ".env").write_text(f"CELERY_BROKER_URL={other}\n")
    try:
        with fresh.stack(DATABASE_URL=outside) as stack:
            stack.until_ready()
            assert not {"postgres", "valkey"} & {path.name for path in fresh.local.iterdir()}
            assert pings(fresh)
            with psycopg.connect(outside) as link:
                count = link.execute("SELECT count(*) FROM auth_user WHERE is_superuser").fetchone()
            assert count == (1,)
    finally:
        with psycopg.connect(database, autocommit=True) as link:
            link.execute("DROP DATABASE outside WITH (FORCE)")


def test_a_path_too_long_for_a_socket_and_with_odd_characters_works(tmp_path: Path) -> None:
    path = tmp_path / ("a long way down " + "x" * 90) / "50% & more"
    path.mkdir(parents=True)
    checkout = Checkout(path)
    with checkout.stack() as stack:
        stack.until_ready()
        assert pings(checkout)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_it_without_any_power_of_root(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    checkout = Checkout(tmp_path / "proj", user="games")
    with checkout.stack() as stack:
        stack.until_ready()
        assert {process.username() for process in checkout.processes()} == {"games"}
        assert pings(checkout)
        assert status(stack) == 200
    done = Checkout.run(checkout, "true")
    assert done.returncode == 0
    checkout.user = "-"
    done = checkout.run("make", "run")
    assert done.returncode == 2
    assert re.fullmatch(
        rf"{checkout.local} belongs to user \d+, and this is user 0: run it as that user, or give "
        rf"it to this one \(sudo chown -R 0 {checkout.local}\), or remove it together with its "
        r"data\n",
        done.stdout,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own a folder that is closed to all")
def test_root_runs_it_in_a_folder_that_stays_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    checkout = Checkout(closed / "proj")
    with checkout.stack() as stack:
        stack.until_ready()
        assert stack.role("postgres").uids().effective != 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
