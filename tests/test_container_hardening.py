"""The containers that run: none is root, nothing is writable, no password is known."""

from __future__ import annotations

import re
import socket

import psutil
import pytest

from deploy.k8s.cluster import generator

from .containers import ROOT, Stack, inspect, run

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

LONG_RUNNING = {"proxy", "web", "worker", "beat", "postgres", "redis"}
#: The empty one stands for none at all.
GUESSES = ("", "redis", "postgres", "proj", "password", "changeme", "admin")
ALL = LONG_RUNNING | {"secrets", "migrate"}


def test_every_container_is_locked_down(stack: Stack) -> None:
    containers = stack.containers()
    assert containers.keys() == ALL
    for name, container in containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["CapAdd"] == (["CAP_NET_BIND_SERVICE"] if name == "proxy" else None), name
        assert not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["LogConfig"]["Config"]["max-size"], name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", container["Config"]["User"]), name
        once = name in {"secrets", "migrate"}
        assert host["RestartPolicy"]["Name"] == ("no" if once else "unless-stopped"), name


def test_the_kernel_agrees(stack: Stack) -> None:
    """What holds for process 1 of each container, whatever the configuration says."""
    for service in LONG_RUNNING:
        text = stack.compose("exec", "-T", service, "cat", "/proc/1/status").stdout
        lines = (line.partition(":") for line in text.splitlines())
        status = {key: value.split() for key, _, value in lines}
        assert "0" not in status["Uid"] + status["Gid"], service
        ports_below_1024 = 1 << 10 if service == "proxy" else 0
        for kind in ("CapEff", "CapPrm", "CapBnd"):
            assert int(status[kind][0], 16) == ports_below_1024, service
        assert status["NoNewPrivs"] == ["1"], service
        assert status["Seccomp"] == ["2"], service  # 2: a filter


def test_nothing_can_be_written_outside_of_volumes_and_tmpfs(stack: Stack) -> None:
    script = "for d in / /app /etc /usr/bin /run; do touch $d/x 2>/dev/null && echo $d; done; true"
    for service in LONG_RUNNING:
        assert stack.compose("exec", "-T", service, "sh", "-c", script).stdout == "", service


#: Volumes of data, for which Docker's own driver knows no option: what is kept, and what none runs.
KEPT = {
    "proxy": {"/volumes/certificates"},
    "postgres": {"/var/lib/postgresql"},
    "redis": {"/data"},
}


def test_what_can_be_written_can_not_be_run(stack: Stack) -> None:
    for service in LONG_RUNNING:
        mounts = stack.compose("exec", "-T", service, "cat", "/proc/mounts").stdout
        writable = {
            place
            for _, place, kind, options, *_ in (line.split() for line in mounts.splitlines())
            if "rw" in options.split(",")
            and "noexec" not in options.split(",")
            and not place.startswith(("/dev", "/proc", "/sys"))  # where no user makes a file
        }
        assert writable == KEPT.get(service, set()), service


def test_the_program_is_process_1_and_gets_the_signals(stack: Stack) -> None:
    programs = {
        "proxy": "caddy", "web": "gunicorn", "worker": "celery", "beat": "celery",
        "postgres": "postgres", "redis": "redis-server",
    }  # fmt: skip
    for service, program in programs.items():
        words = stack.compose("exec", "-T", service, "cat", "/proc/1/cmdline").stdout.split("\0")
        assert any(word.rpartition("/")[2].startswith(program) for word in words[:2]), words


def test_one_port_is_published_and_only_on_this_machine(stack: Stack) -> None:
    bindings = {
        (service, binding["HostIp"], binding["HostPort"])
        for service, container in stack.containers().items()
        for ports in (container["NetworkSettings"]["Ports"] or {}).values()
        for binding in ports or []
    }
    assert bindings == {("proxy", "127.0.0.1", str(stack.port))}


def secret_values(stack: Stack) -> set[str]:
    files = stack.compose(
        "exec", "-T", "web", "sh", "-c", "cat /run/secrets/proj/* | tr '@:/' '\n'"
    )
    return {word for word in files.stdout.split() if len(word) >= 40}


def test_no_secret_can_be_read_from_the_engine(stack: Stack) -> None:
    values = secret_values(stack)
    assert len(values) >= 3
    names = [container["Id"] for container in stack.containers().values()]
    known = run("docker", "inspect", *names, stack.image).stdout
    known += run("docker", "history", "--no-trunc", stack.image).stdout
    known += stack.compose("logs").stdout
    assert not [value for value in values if value in known]


def test_each_server_sees_its_own_secret_alone(stack: Stack) -> None:
    def files(service: str) -> set[str]:
        return set(stack.compose("exec", "-T", service, "ls", "/run/secrets/proj").stdout.split())

    own = {server: set(names) for server, names in generator().PASSWORDS.items()}
    assert files("postgres") == own["postgres"] | {"roles.sql", "pg_hba.conf"}
    assert files("redis") == own["redis"] | {"redis.conf"}
    assert "database_url" in files("web")
    assert "owner_database_url" not in files("web")
    for mount in inspect(*stack.ids("postgres", "redis")):
        assert {m["RW"] for m in mount["Mounts"] if m["Destination"] == "/run/secrets/proj"} == {
            False
        }


def test_redis_takes_no_password_that_could_be_guessed(stack: Stack) -> None:
    code = f"""
import socket
for password in {GUESSES}:
    with socket.create_connection(("redis", 6379)) as connection:
        auth = f"AUTH {{password}}\\r\\n" if password else ""
        connection.sendall((auth + "PING\\r\\n").encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile().read()
        print("refused" if "NOAUTH" in answer and "PONG" not in answer else answer)
"""
    answers = stack.compose("exec", "-T", "web", "python", "-c", code).stdout.split("\n")
    assert answers[:-1] == ["refused"] * len(GUESSES)


def test_postgresql_takes_no_password_that_could_be_guessed(stack: Stack) -> None:
    code = f"""
import psycopg
for user in ("proj", "proj_app", "proj_backup", "postgres"):
    for password in {GUESSES}:
        try:
            psycopg.connect(host="postgres", dbname="proj", user=user, password=password)
        except psycopg.OperationalError as error:
            told = str(error)
            no = "password authentication failed" in told or "no password supplied" in told
            print("refused" if no else told)
        else:
            print(user, password, "let in")
"""
    answers = stack.compose("exec", "-T", "web", "python", "-c", code).stdout.split("\n")
    assert answers[:-1] == ["refused"] * len(GUESSES) * 4


def test_with_webs_own_credentials_neither_server_can_be_taken_over(stack: Stack) -> None:
    code = """
import os, psycopg, redis
from pathlib import Path
url = Path(os.environ["DATABASE_URL_FILE"]).read_text()
for attack in ("COPY (SELECT 1) TO PROGRAM 'id'", "DROP TABLE durable_task", "CREATE TABLE x ()"):
    try: psycopg.connect(url).execute(attack)
    except psycopg.errors.InsufficientPrivilege: print("refused")
broker = redis.from_url(Path(os.environ["CELERY_BROKER_URL_FILE"]).read_text())
for attack in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN",), ("KEYS", "*"),
               ("DEBUG", "SLEEP", "0"), ("REPLICAOF", "elsewhere", "6379"), ("MODULE", "LIST")):
    try: broker.execute_command(*attack)
    except redis.exceptions.ResponseError: print("refused")
"""
    answers = stack.compose("exec", "-T", "web", "python", "-c", code).stdout.split("\n")
    assert answers[:-1] == ["refused"] * 11


def test_postgresql_wants_the_password_from_its_own_container_too(stack: Stack) -> None:
    done = stack.compose(
        "exec",
        "-T",
        "postgres",
        "psql",
        "--no-password",
        "-h",
        "127.0.0.1",
        "-U",
        "proj",
        check=False,
    )
    assert "no password supplied" in done.stderr


def test_the_page_shows_what_redis_prints(stack: Stack) -> None:
    ask = "REDISCLI_AUTH=$(cat /run/secrets/proj/password) redis-cli --user admin acl list"
    printed = {}
    for line in stack.compose("exec", "-T", "redis", "sh", "-c", ask).stdout.splitlines():
        _, user, state, *words = line.split()
        # Each has the first; the second says that no channel is allowed.
        plain = ("sanitize-payload", "resetchannels")
        rights = [word for word in words if word not in plain and word[0] != "#"]
        printed[user] = "off" if state == "off" else " ".join(rights)
    page = (ROOT / "docs/security.md").read_text("utf-8")
    section = page.split("\n## Redis' users\n")[1].split("\n## ")[0]
    shown = re.findall(r"^\| `(\w+)` \| [^|]+ \| `?([^`|]+?)`? \|$", section, re.MULTILINE)
    assert dict(shown) == printed


def test_redis_is_a_broker_that_writes_to_disk_and_forgets_nothing(stack: Stack) -> None:
    ask = "REDISCLI_AUTH=$(cat /run/secrets/proj/password) redis-cli --user admin config get "
    for option, value in (
        ("appendonly", "yes"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", str(256 * 1024**2)),
    ):
        answer = stack.compose("exec", "-T", "redis", "sh", "-c", ask + option).stdout.split()
        assert answer == [option, value]


def test_no_role_reaches_the_internet_or_this_machine(stack: Stack) -> None:
    """Their networks lead to no cloud's address for credentials either, and not to the host."""
    for service in ("web", "worker", "beat", "postgres", "redis"):
        routes = stack.compose("exec", "-T", service, "cat", "/proc/net/route").stdout
        destinations = [line.split()[1] for line in routes.splitlines()[1:]]
        assert "00000000" not in destinations, service
    of_the_host = {
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family is socket.AF_INET and not address.address.startswith("127.")
    }
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - as a careless service does
        hosts = ["169.254.169.254", "192.0.2.1", *of_the_host]
        code = f"""
import socket
for host in {hosts}:
    try: socket.create_connection((host, {server.getsockname()[1]}), 3)
    except OSError: pass
    else: print(host)
"""
        for service in ("web", "worker", "beat"):
            assert stack.compose("exec", "-T", service, "python", "-c", code).stdout == "", service
