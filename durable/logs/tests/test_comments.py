"""SQL_COMMENTS: a statement says whose it is, and prepared ones stay what they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.signals import connection_created

from durable.database.statement import run_prepared
from durable.logs import comments
from durable.logs.context import bind, unbind

User = get_user_model()

pytestmark = pytest.mark.django_db

MINE = "SELECT current_query()"


@pytest.fixture(autouse=True)
def commented() -> Iterator[None]:
    connection.ensure_connection()
    comments.install()
    yield
    connection_created.disconnect(comments._watch)
    connection.execute_wrappers.remove(comments._execute)


def seen(**ids: str) -> str:
    """Return a statement of a request or task with *ids*, as PostgreSQL sees it."""
    before = bind(**ids)
    try:
        with connection.cursor() as cursor:
            cursor.execute(MINE)
            return str(cursor.fetchone()[0])
    finally:
        unbind(before)


def test_a_statement_says_which_request_and_task_it_is_of() -> None:
    assert seen() == MINE
    ids = {"request_id": "asked-for", "task_id": "4711", "task": "apps.shop.tasks.charge"}
    expected = "/* request_id=asked-for task_id=4711 task=apps.shop.tasks.charge */ "
    assert seen(**ids) == expected + MINE


@pytest.mark.parametrize("evil", ["*/ DROP TABLE x; --", "%s", "a b", "/*"])
def test_an_id_can_not_leave_the_comment(evil: str) -> None:
    assert seen(task_id=evil) == MINE
    assert seen(task_id=evil, request_id="r") == f"/* request_id=r */ {MINE}"
    before = bind(request_id="r%")
    assert not User.objects.filter(username="50%").exists()
    unbind(before)


def test_what_is_prepared_is_prepared_once_whatever_task_it_is_of() -> None:
    sql = "SELECT %(one)s::int"
    for number in range(3):
        before = bind(task_id=str(number))
        run_prepared(DEFAULT_DB_ALIAS, sql, {"one": number}, prepare=True)
        unbind(before)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%::int'")
        assert cursor.fetchall() == [("SELECT $1::int",)]
