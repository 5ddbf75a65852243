"""Ports for servers that tests start, and for those that are never started."""

from __future__ import annotations

import os
import secrets
import socket

#: Below Linux' ports for those who don't choose (ip_local_port_range, from 32768 on) and those of
#: Kubernetes' services: between the look and the server's own bind, no connection takes one.
FIRST, COUNT = 15_000, 14_000

#: The processes of a test run, side by side (pytest-xdist), each have a part of them.
PARTS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PART = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, and that this process never gave before.

    :raises OSError: there is none.
    """
    for _ in range(1000):
        port = FIRST + secrets.randbelow(COUNT // PARTS) * PARTS + PART
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no free port found")
