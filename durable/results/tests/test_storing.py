"""What a caller can rely on after store_result(), on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from celery import current_app as app
from celery import states, uuid
from celery.app.task import Context
from celery.exceptions import BackendStoreError
from django.db import OperationalError, connection, transaction
from django_celery_results.models import TaskResult

from durable.database import background, retry
from durable.results import conf, statement
from durable.results.backend import DatabaseBackend
from durable.results.models import ChordPart

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backend() -> DatabaseBackend:
    return DatabaseBackend(app=app)


@pytest.fixture
def other() -> Any:
    """Another session of the same database, which sees only what is committed."""
    names = ("dbname", "user", "host", "port", "password")
    params = connection.get_connection_params()
    plain = {name: params[name] for name in names if name in params}
    with psycopg.connect(**plain, autocommit=True) as session:
        yield session


def status(session: Any, task_id: str) -> str | None:
    sql = "SELECT status FROM django_celery_results_taskresult WHERE task_id = %s"
    row = session.execute(sql, [task_id]).fetchone()
    return row[0] if row else None


def break_connection(session: Any) -> None:
    """Let PostgreSQL end the session of this process, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    session.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_it_is_the_default_backend() -> None:
    assert type(app.backend) is DatabaseBackend


def test_a_result_writes_to_no_index_that_its_way_does_not_need() -> None:
    sql = "SELECT indexdef FROM pg_indexes WHERE tablename = 'django_celery_results_taskresult'"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        columns = sorted(row[0].rpartition(" ")[2] for row in cursor.fetchall())
    assert columns == ["(date_done)", "(id)", "(task_id)"]


def test_what_is_stored_is_committed(backend: DatabaseBackend, other: Any) -> None:
    backend.mark_as_done(task := uuid(), 42)
    assert status(other, task) == states.SUCCESS
    assert backend.get_result(task) == 42


@pytest.mark.parametrize("on_the_loop", [False, True])  # of a batch worker's supervisor
def test_inside_a_transaction_it_is_part_of_that(
    backend: DatabaseBackend, other: Any, monkeypatch: pytest.MonkeyPatch, on_the_loop: bool
) -> None:
    monkeypatch.setattr(background, "is_event_loop", lambda: on_the_loop)
    with transaction.atomic():
        backend.mark_as_done(task := uuid(), 42)
        assert status(other, task) is None
        transaction.set_rollback(True)
    assert status(other, task) is None


def test_each_write_is_one_prepared_statement(backend: DatabaseBackend) -> None:
    connection.close()  # with what other tests have prepared
    task = uuid()
    backend.store_result(task, {"pid": 1}, states.STARTED)
    backend.mark_as_done(task, 42)
    row = TaskResult.objects.get(task_id=task)
    assert row.date_created <= row.date_started < row.date_done
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(generic_plans + custom_plans) FROM pg_prepared_statements "
            "WHERE statement LIKE '%INSERT INTO %taskresult%'"
        )
        statements, executed = cursor.fetchone()
    assert (statements, executed) == (1, 2)


def test_nothing_is_prepared_where_a_pooler_would_lose_it(
    backend: DatabaseBackend, settings: Any
) -> None:
    settings.RESULTS_PREPARE = False
    connection.close()
    backend.mark_as_done(uuid(), 42)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)


def test_a_broken_connection_is_replaced(backend: DatabaseBackend, other: Any) -> None:
    break_connection(other)
    backend.mark_as_done(task := uuid(), 42)
    assert status(other, task) == states.SUCCESS
    break_connection(other)
    assert backend.get_status(task) == states.SUCCESS


def test_inside_a_transaction_a_broken_connection_is_the_transactions_error(
    backend: DatabaseBackend, other: Any
) -> None:
    def broken() -> None:
        with transaction.atomic():
            break_connection(other)
            backend.mark_as_done(uuid(), 42)

    with pytest.raises(OperationalError):
        broken()


def test_who_is_no_task_does_not_wait_for_long(
    backend: DatabaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "SHORT", 0.2)
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    connection.close()
    with pytest.raises(BackendStoreError):
        backend.mark_as_done(uuid(), 42)
    connection.close()


def test_other_errors_are_not_retried(backend: DatabaseBackend) -> None:
    calls = []

    def fails() -> None:
        calls.append(1)
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        retry.persist(fails, 60, ["default"])
    assert calls == [1]


@pytest.mark.parametrize(
    ("late", "kept"), [("PROGRESS", states.SUCCESS), (states.FAILURE, states.FAILURE)]
)
def test_a_late_write_does_not_hide_that_the_task_has_ended(
    backend: DatabaseBackend, monkeypatch: pytest.MonkeyPatch, late: str, kept: str
) -> None:
    backend.mark_as_done(task := uuid(), 42)
    backend._store(task, None, "PROGRESS", None, None, since=float("inf"))
    assert TaskResult.objects.get(task_id=task).status == "PROGRESS", "in time"
    backend.mark_as_done(task, 42)
    backend._store(task, None, late, None, None, since=float("-inf"))
    assert TaskResult.objects.get(task_id=task).status == kept


def test_a_retry_never_hides_that_the_task_has_ended(backend: DatabaseBackend) -> None:
    backend.store_result(task := uuid(), {"pid": 1}, states.STARTED)
    backend.mark_as_retry(task, ValueError("once more"))
    assert backend.get_status(task) == states.RETRY
    backend.mark_as_done(task, 42)
    backend.mark_as_retry(task, ValueError("once more"))
    assert backend.get_result(task) == 42


def test_postgresql_deletes_the_parts_with_their_counter() -> None:
    from django_celery_results.models import ChordCounter

    counter = ChordCounter.objects.create(group_id="g", sub_tasks="[]", count=2)
    ChordPart.objects.create(counter=counter, task_id="a")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_celery_results_chordcounter")
    assert not ChordPart.objects.exists()


def test_the_statement_names_every_column_that_upstream_writes() -> None:
    written = {*statement.COLUMNS, "date_started", "date_created", "date_done", "id"}
    assert written == {field.column for field in TaskResult._meta.get_fields()}


def test_a_server_that_only_reads_meanwhile_is_left_for_the_one_that_writes(
    backend: DatabaseBackend, other: Any
) -> None:
    """A failover: the old server lives on as a replica, or its name leads to one for a moment."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    backend.mark_as_done(task := uuid(), 42)
    assert status(other, task) == states.SUCCESS


def test_a_worker_with_a_long_name_can_store_results(backend: DatabaseBackend) -> None:
    """Upstream's column has 100 characters, and the names of machines may have 253."""
    request = Context(id=(task := uuid()), task="t", hostname="celery@" + "long." * 30, args=[])
    backend.mark_as_done(task, 42, request)
    row = TaskResult.objects.get(task_id=task)
    assert row.status == states.SUCCESS
    assert row.worker == request.hostname[:100]
