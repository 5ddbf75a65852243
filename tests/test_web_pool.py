"""The web role's connections: one pool a process, as large as its threads, kept over requests."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

import pytest
from django.db import connection

from tests.fixtures_worker import StartRole, free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 3


def backends() -> set[int]:
    """Return the web role's PostgreSQL backends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'proj-web' AND datname = current_database()"
        )
        return {row[0] for row in cursor.fetchall()}


def load_admin(address: str) -> int:
    """Ask for a page that reads the session from the database; return the final status."""
    request = urllib.request.Request(
        f"http://{address}/admin/", headers={"Cookie": f"sessionid={'a' * 32}"}
    )
    with urllib.request.urlopen(request, timeout=240) as answer:
        return int(answer.status)


def burst(address: str, count: int) -> list[int]:
    """Send *count* requests at once; return their statuses."""
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(load_admin(address))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def alive(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/livez", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_burst_opens_no_more_connections_than_threads_and_a_second_none(
    start_role: StartRole,
) -> None:
    """The first connection is older than the process: it was opened before the fork."""
    address = f"127.0.0.1:{free_port()}"
    start_role(
        "web",
        WEB_BIND=address,
        WEB_CONCURRENCY="1",
        WEB_THREADS=str(THREADS),
        LOG_LEVEL="WARNING",
        DJANGO_SETTINGS_MODULE="tests.asks_at_start",
    )
    wait_for(lambda: alive(address), "web answers")
    assert burst(address, 20) == [200] * 20
    first = backends()
    assert 1 <= len(first) <= THREADS
    assert burst(address, 20) == [200] * 20
    assert len(backends() | first) <= THREADS
