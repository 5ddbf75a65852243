"""What /livez and /readyz answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client, RequestFactory
from pytest_django import Settings

from durable.health.code import Code
from durable.health.middleware import ProbeMiddleware
from durable.health.readiness import Readiness
from tests.fixtures_worker import PATIENCE, StartRole, free_port, wait_for

CODE = {"urls": "ok", "templates": "ok"}
READY = {"database": "ok", "migrations": "ok", "cache": "ok"}


@pytest.fixture(autouse=True)
def _cache_table(request: pytest.FixtureRequest) -> None:
    """The migrate role makes it; so does this."""
    if request.node.get_closest_marker("django_db"):
        from django.core.management import call_command

        call_command("createcachetable")


@pytest.mark.parametrize("method", ["get", "head"])
def test_livez_answers_without_database_session_or_a_host_that_is_allowed(
    client: Client, method: str, settings: Settings
) -> None:
    # No django_db mark: pytest-django fails a test that touches the database.
    settings.SECURE_SSL_REDIRECT = True
    response = getattr(client, method)("/livez", headers={"host": "10.1.2.3:8000"})
    assert response.status_code == 200
    assert response.content == (b"ok\n" if method == "get" else b"")
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_can_only_be_read(client: Client, path: str) -> None:
    response = client.post(path)
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.django_db(transaction=True)
def test_readyz_tells_the_state_of_each_part_to_any_host(client: Client) -> None:

    def ask() -> Any:
        return client.get("/readyz", headers={"host": "10.1.2.3:8000"})

    wait_for(lambda: ask().status_code == 200, "the database answers in time")
    response = ask()
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {**CODE, **READY}}
    assert response["Cache-Control"] == "no-store"
    head = client.head("/readyz")
    assert head.status_code == 200
    assert head.content == b""
    assert int(head["Content-Length"]) == len(response.content)


@pytest.mark.django_db(transaction=True)
def test_readyz_is_not_ready_when_the_urls_can_not_be_imported(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    urls = tmp_path / "broken_urls.py"
    urls.write_text("import no_such_package")
    settings.ROOT_URLCONF = "broken_urls"
    client = Client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["urls"] == "1 can't be used: see the log"
    urls.write_text("urlpatterns = []")
    assert client.get("/readyz").json()["checks"]["urls"] == "ok"
    urls.write_text("import no_such_package")
    assert client.get("/readyz").json()["checks"]["urls"] == "ok", "it is asked once"


@pytest.mark.parametrize(
    ("template", "state"),
    [
        ("{% load no_such_tags %}", "1 can't be used: see the log"),
        ('{% extends "no-such-parent.html" %}', "1 can't be used: see the log"),
        ('{% load static %}{% static "no-such-file.css" %}', "1 can't be used: see the log"),
        ("{% extends parent %}", "ok"),
    ],
)
def test_readyz_is_not_ready_when_a_template_can_not_be_used(
    settings: Settings, tmp_path: Path, template: str, state: str
) -> None:
    (tmp_path / "page.html").write_text(template)
    (tmp_path / ".page.html.swp").write_bytes(b"\xff")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "staticfiles.json").write_text('{"version": "1.1", "paths": {}}')
    settings.STATIC_ROOT = tmp_path / "static"
    manifest = {"BACKEND": "proj.storage.ModuleStaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": manifest}
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "DIRS": [tmp_path]}]
    assert Code().check() == {"urls": "ok", "templates": state}


@pytest.mark.django_db(transaction=True)
def test_readyz_is_not_ready_while_a_migration_is_missing_and_then_asks_no_more() -> None:
    readiness = Readiness()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app='sessions' RETURNING name, applied")
        rows = cursor.fetchall()
    try:
        assert readiness.check(PATIENCE) == {
            "database": "ok",
            "migrations": f"{len(rows)} not applied: run docker/entrypoint.sh migrate",
            "cache": "unknown",
        }
        middleware = ProbeMiddleware(lambda request: pytest.fail("a probe went on"))
        middleware.readiness = readiness
        assert middleware(RequestFactory().get("/readyz")).status_code == 503
    finally:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('sessions', %s, %s)",
                rows,
            )
    assert readiness.check(PATIENCE) == READY
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO hidden")
    try:
        assert readiness.check(PATIENCE) == READY
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO django_migrations")


@pytest.mark.django_db(transaction=True)
def test_readyz_is_not_ready_without_the_table_of_the_cache() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_cache RENAME TO hidden")
    try:
        checks = Readiness().check(PATIENCE)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO django_cache")
    assert checks == {
        "database": "ok",
        "migrations": "ok",
        "cache": "its table is missing: run docker/entrypoint.sh migrate",
    }


def test_readyz_is_not_ready_when_nobody_listens_where_the_database_should_be() -> None:
    nowhere = {**settings.DATABASES["default"], "HOST": "127.0.0.1", "PORT": str(free_port())}
    assert Readiness(nowhere).check(PATIENCE) == {
        "database": "unreachable",
        "migrations": "unknown",
        "cache": "unknown",
    }


@pytest.mark.django_db(transaction=True)
def test_readyz_does_not_hang_on_a_frozen_database_and_asks_it_only_once() -> None:
    readiness = Readiness()
    assert readiness.check(PATIENCE) == READY
    others = {thread for thread in threading.enumerate() if thread.name == "readyz"}
    own = readiness._connection
    assert own is not None
    assert own.connection is not None
    backend = own.connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # its kernel still answers for it
    try:
        for _ in range(3):
            assert readiness.check(0.2) == {
                "database": "no answer within 0.2 s",
                "migrations": "ok",
                "cache": "ok",
            }
        asking = [thread for thread in threading.enumerate() if thread.name == "readyz"]
        assert len(set(asking) - others) == 1
    finally:
        os.kill(backend, signal.SIGCONT)
    wait_for(lambda: readiness.check() == READY, "the database is ready again")


@pytest.mark.django_db(transaction=True)
def test_readyz_comes_back_by_itself_after_its_connection_was_cut() -> None:
    readiness = Readiness()
    assert readiness.check(PATIENCE) == READY
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'proj-readyz%' AND datname = current_database()"
        )
    assert readiness.check(PATIENCE) == READY


@pytest.fixture
def web(start_role: StartRole) -> str:
    """A real web role with a pool of one connection; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    role = start_role(
        "web", WEB_BIND=address, WEB_CONCURRENCY="1", WEB_THREADS="4", DATABASE_POOL_MAX_SIZE="1"
    )
    role.wait_for_line("Booting worker")
    return address


def ask(address: str, path: str, host: str = "10.1.2.3", cookie: str = "") -> bytes:
    """Send a GET with any Host; return all that comes back."""
    name, _, port = address.rpartition(":")
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Cookie: {cookie}", "Connection: close"]
    with socket.create_connection((name, int(port)), timeout=60) as peer:
        peer.sendall("\r\n".join([*lines, "", ""]).encode())
        return b"".join(iter(lambda: peer.recv(65536), b""))


@pytest.mark.django_db(transaction=True)
def test_readyz_of_a_real_web_role_answers_while_its_pool_is_exhausted(web: str) -> None:
    answers: list[bytes] = []
    # It reads the session, whose table is locked, and holds the pool's one connection meanwhile.
    request = threading.Thread(
        target=lambda: answers.append(ask(web, "/admin/", "localhost", "sessionid=" + "a" * 32))
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE django_session")
        request.start()
        wait_for(waiting_for_the_sessions, "a request waits for the lock")
        wait_for(lambda: ask(web, "/readyz").startswith(b"HTTP/1.1 200 "), "it is ready")
        assert waiting_for_the_sessions() == 1
        assert not answers
    request.join()
    assert answers[0].startswith(b"HTTP/1.1 302 ")


def waiting_for_the_sessions() -> int:
    """Count the backends that wait for the lock (not in pg_stat_activity: it is a snapshot)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks "
            "WHERE NOT granted AND relation = 'django_session'::regclass"
        )
        row: tuple[Any, ...] = cursor.fetchone()
    return int(row[0])
