"""Web on IPv4 and IPv6: both are served, both are probed, and a visitor has one address."""

from __future__ import annotations

import socket

import pytest
from django.core.management import call_command

from durable.health.tests.healthcheck import healthcheck

from .containers import without
from .fixtures_worker import StartRole, free_port, wait_for
from .http_client import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        without("this machine has no IPv6")


def becomes_healthy(bind: str, probe: str) -> None:
    """Wait until a probe succeeds: it gives up sooner than a busy machine has begun to serve."""
    wait_for(lambda: healthcheck("web", probe, WEB_BIND=bind).status == 0, f"{probe} at {bind}")


def test_every_address_serves_and_is_probed_where_it_listens(start_role: StartRole) -> None:
    call_command("createcachetable", verbosity=0)
    everywhere, on_ipv6 = free_port(), free_port()
    binds = {f":{everywhere}": ("127.0.0.1", "[::1]"), f"[::1]:{on_ipv6}": ("[::1]",)}
    started = {bind: start_role("web", WEB_BIND=bind, WEB_CONCURRENCY="1") for bind in binds}
    for bind, web in started.items():
        web.wait_for_line("Booting worker")
        for probe in ("livez", "readyz"):
            becomes_healthy(bind, probe)
        port = bind.rpartition(":")[2]
        for host in binds[bind]:
            assert Visitor(int(port), host).request("/livez").status == 200
            # And not ::ffff:127.0.0.1, which a list of addresses would not know.
            web.wait_for_line(f"{host.strip('[]')} - - ")
    assert healthcheck("web", WEB_BIND=f"127.0.0.1:{on_ipv6}").status == 1
