"""What becomes of database connections at task boundaries, counted in PostgreSQL."""

from __future__ import annotations

import copy
import os
import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from celery import group
from django.db import InternalError, OperationalError, connection
from django.db.utils import ConnectionHandler
from pytest_django import Settings

from durable.journal.models import Entry
from durable.schedules.leader import Leader
from tests.cable import Cable, through
from tests.fixtures_worker import PATIENCE, StartRole, database_url
from tests.probe_tasks import backend_pid, cleans_up

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = 40
PROBES = {"CELERY_IMPORTS": "tests.probe_tasks"}


def run_tasks() -> list[int]:
    """Run tasks that each ask for their backend; return the backends' ids."""
    result = group(backend_pid.s() for _ in range(TASKS)).apply_async()
    return list(result.get(timeout=180))


def terminate_backends() -> int:
    """End every connection of the worker, as a restart of PostgreSQL does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'proj-worker' AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def test_a_worker_keeps_one_connection_per_child_over_a_soft_time_limit_in_a_query_too(
    start_role: StartRole,
) -> None:
    start_role("worker", "-c", "2", **PROBES)
    after = [call().get(timeout=PATIENCE) for call in (cleans_up.delay, cleans_up.delay_on_commit)]
    assert len({*run_tasks(), *after}) <= 2
    assert Entry.objects.get(task=cleans_up.name).attempt == 1


def test_without_reuse_every_task_pays_for_a_new_connection(start_role: StartRole) -> None:
    """Celery's default, as the baseline: what the setting is for."""
    start_role("worker", "-c", "2", CELERY_DB_REUSE_MAX="0", **PROBES)
    assert len(set(run_tasks())) == TASKS


def test_celery_closes_a_childs_pool_at_every_task(start_role: StartRole) -> None:
    """Why the worker has no pool (celery#10554): it would be opened anew for each task."""
    start_role("worker", "-c", "2", DATABASE_POOL_MAX_SIZE="4", CELERY_DB_REUSE_MAX="0", **PROBES)
    assert len(set(run_tasks())) >= TASKS


def test_no_task_fails_when_postgresql_ended_the_connections(start_role: StartRole) -> None:
    start_role("worker", "-c", "2", **PROBES)
    before = set(run_tasks())
    assert terminate_backends() >= 1
    after = set(run_tasks())
    assert before.isdisjoint(after)


def test_a_connection_to_a_server_that_only_reads_by_now_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Django asks a connection whether it answers, and a replica does."""
    from durable.database.connections import drop_broken_connections

    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    monkeypatch.setattr(connection, "close_at", None)  # kept, as a worker does
    with pytest.raises(InternalError), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE not_here ()")
    drop_broken_connections(backend_pid)
    with connection.cursor() as cursor:
        cursor.execute("SHOW default_transaction_read_only")
        assert cursor.fetchone() == ("off",)


@pytest.mark.parametrize("past_a_pooler", [False, True])
def test_a_server_that_is_gone_under_a_query_is_noticed_within_30_seconds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, database: Cable, past_a_pooler: bool
) -> None:
    """What the kernel was told is asked, of a session with Django's parameters, and of beat's."""
    url = through(database, database_url())
    parts = urlsplit(url)
    settings.BEAT_DATABASE_URL = url if past_a_pooler else ""
    monkeypatch.setitem(connection.settings_dict, "HOST", parts.hostname)
    monkeypatch.setitem(connection.settings_dict, "PORT", parts.port)
    with closing(Leader()) as leader:
        leader.hold()
        assert leader._session is not None
        with socket.socket(fileno=os.dup(leader._session.fileno())) as its:
            idle, interval, count = (
                its.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
    assert idle + interval * count <= 30


def test_a_server_that_only_reads_counts_as_away() -> None:
    """After a failover the name may lead there for a while."""
    settings = copy.deepcopy(connection.settings_dict)
    settings["OPTIONS"]["options"] = "-c default_transaction_read_only=on"
    replica = ConnectionHandler({"default": settings})["default"]
    with pytest.raises(OperationalError, match="read-only"):
        replica.ensure_connection()
