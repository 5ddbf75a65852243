"""Metrics of the alerts beside the queue's, by the queries of `make doctor` and the console."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS

from durable.database.server import server
from durable.database.sessions import by_application
from durable.schedules import broker_state
from durable.schema.missing import missing as missing_migrations

from .parts import certificate, disk

#: Seconds that the ends of certificates are kept.
KEEP = 3600.0

Gauges = Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]


def metrics() -> Gauges:
    """Yield the gauges; nothing waits for another server for longer than the console does."""
    yield from _database()
    yield from _broker()
    used: dict[tuple[str, ...], float] = {(folder,): share for folder, share in disk.shares()}
    yield "proj_disk_used_ratio", "Share of a disk of web that is in use.", ("folder",), used
    ends = "When the certificate of a name ends, in seconds since 1970; 0: it is not valid."
    yield (
        "proj_certificate_end_seconds",
        ends,
        ("host",),
        {(host,): end for host, end in _certificates.read().items()},
    )


def _database() -> Gauges:
    found = server(DEFAULT_DB_ALIAS)
    count, most = float(found.connections), float(found.most)
    yield "proj_database_connections", "Connections to PostgreSQL.", (), {(): count}
    yield "proj_database_connections_limit", "Connections that it takes.", (), {(): most}
    by_name = "Sessions in this database by who holds them, as PostgreSQL lists them."
    yield "proj_database_sessions", by_name, ("application",), by_application(DEFAULT_DB_ALIAS)
    longest = "Seconds that the oldest transaction is open; a dump's doesn't count."
    yield "proj_database_transaction_seconds", longest, (), {(): found.oldest}
    missing = float(len(missing_migrations()))
    yield "proj_migrations_pending", "Migrations of web that the schema lacks.", (), {(): missing}


def _broker() -> Gauges:
    broker = broker_state.read()
    if broker.state == "none":
        return
    up = float(broker.state == "ok")
    yield "proj_broker_up", "1 while the broker answers.", (), {(): up}
    if broker.state == "ok":
        memory, evicted = float(broker.memory), float(broker.evicted)
        limit = float(broker.limit)
        yield "proj_broker_memory_bytes", "Memory that it uses.", (), {(): memory}
        yield "proj_broker_memory_limit_bytes", "Its maxmemory; 0: none.", (), {(): limit}
        yield "proj_broker_evicted_total", "Messages thrown away for want of it.", (), {(): evicted}


class _Certificates:
    """The ends of the certificates; asked by a thread, so that no scrape waits for a proxy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._ends: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """Return the ends that are known; one that can't be asked from here is not."""
        with self._lock:
            if certificate.sites() and time.monotonic() - self._asked > KEEP:
                self._asked = time.monotonic()
                threading.Thread(target=self._ask, daemon=True).start()
        return self._ends

    def _ask(self) -> None:
        found = {}
        for host, port in certificate.sites():
            try:
                found[host] = certificate.end_of(host, port)
            except ssl.SSLCertVerificationError:
                found[host] = 0.0
            except (OSError, KeyError):
                continue
        self._ends = found


_certificates = _Certificates()
