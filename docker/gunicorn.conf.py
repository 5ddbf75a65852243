"""How gunicorn runs the web role. Its own variables (WEB_CONCURRENCY, GUNICORN_CMD_ARGS) apply."""

import os
import socket
from typing import Any

from gunicorn import sock

# ":8000" is that port of the container on every address. Compose publishes it on 127.0.0.1 alone;
# `make run` binds there.
bind: Any = os.environ.get("WEB_BIND") or ":8000"


def has_ipv6() -> bool:
    """The kernel has IPv6; one that was booted with ipv6.disable=1 refuses such a socket."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def bind_ipv6_alone(listener: Any, inner: socket.socket) -> None:
    """Leave the same port on IPv4 to the other socket: there a visitor is 10.1.2.3, and not
    ::ffff:10.1.2.3, which no list of addresses knows.
    """
    inner.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    inner.bind(listener.cfg_addr)


if bind.startswith(":"):
    # gunicorn has no option for it, and takes a socket on [::] to be alone on its port.
    bind = [f"0.0.0.0{bind}", *([f"[::]{bind}"] if has_ipv6() else [])]  # noqa: S104
    sock.TCP6Socket.bind = bind_ipv6_alone
# gunicorn's threads, which slow clients don't get.
worker_class = "durable.web.server.worker.Worker"
# In each process, idle ones among them; one more takes the place of the idlest.
worker_connections = 500
# Answers go through what waits for slow clients, files too.
sendfile = False
# As the settings read it; they say what is wrong with anything that is no number.
_threads = os.environ.get("WEB_THREADS", "")
threads = int(_threads) if _threads.isdecimal() else 4
# Loaded once and shared by the processes: less memory, and a wrong setting ends the start with its
# message instead of a loop of dying workers.
preload_app = True
# Heartbeats in memory: a read-only or slow disk must not stop a worker.
if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108
accesslog = "-"
if os.environ.get("LOG_FORMAT") == "json":  # a wrong value is refused by the settings
    logger_class = "durable.logs.gunicorn.JsonLogger"
# Requests in flight may finish for this long at a stop; the grace period is longer.
graceful_timeout = 30
# Kept alive for longer than a proxy's idle connections, so that the proxy closes first.
keepalive = 75
# Nothing here talks to it, and every gunicorn of a user would share the one in the home folder.
control_socket_disable = True
# No max_requests: a restarted process ends what is in flight after graceful_timeout, and a large
# upload takes longer than that.

# docker/drain writes this file before a stop.
_folder = os.environ.get("HEARTBEAT_DIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
_draining = f"{_folder}/proj-web.draining"


def pre_request(worker: Any, request: Any) -> None:
    """While this one drains, let each answer end its connection.

    A client that stays connected never asks the Service again, and its next request would meet a
    server that is gone.
    """
    if os.path.exists(_draining):  # noqa: PTH110 - pathlib costs more, for every request
        request.force_close()


def on_starting(server: Any) -> None:
    """Refuse to start with settings that would lose or double work; the application is loaded."""
    import django
    from django.apps import apps

    if not apps.ready:  # by somebody who has switched preload_app off
        django.setup()
    from durable.checks.start import check_before_start

    check_before_start()


def pre_fork(server: Any, worker: Any) -> None:
    """Close the connections of an application that asks the database while it is loaded."""
    from durable.database.lifetime import close_all

    close_all()
