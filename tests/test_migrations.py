"""No migration locks a large table, or breaks the version that still runs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader

from .lint_migrations import lint, own

pytestmark = pytest.mark.django_db

INDEX = models.Index(fields=["expires"], name="by_expires")
CHECK = models.CheckConstraint(condition=models.Q(pid__gt=0), name="a_pid")


def test_the_projects_own_are_clean() -> None:
    assert [line for each, sql in own() for line in lint(each, sql)] == []


def found(*changes: Any, atomic: bool = True, waived: Any = None) -> list[str]:
    """Return the codes of what is wrong with a migration of the queue's app after its first."""
    said = {"operations": list(changes), "dependencies": [("durable", "0001_initial")]}
    kind = type("Migration", (Migration,), {**said, "atomic": atomic, "lint": waived or {}})
    migration = kind("0002_next", "durable")
    loader = MigrationLoader(connection, replace_migrations=False)
    loader.graph.add_node(("durable", "0002_next"), migration)
    loader.graph.add_dependency(migration, ("durable", "0002_next"), ("durable", "0001_initial"))
    sql = loader.collect_sql([(migration, False)])
    return [line.split(": ")[1] for line in lint(migration, ["BEGIN;"] * atomic + sql)]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("CREATE_INDEX", operations.AddIndex("Task", INDEX)),
        ("DROP_COLUMN", operations.RemoveField("Task", "error")),
        ("DROP_TABLE", operations.DeleteModel("Worker")),
        ("RENAME_COLUMN", operations.RenameField("Task", "error", "reason")),
        ("RENAME_TABLE", operations.AlterModelTable("Task", "another_name")),
        ("ALTER_COLUMN", operations.AlterField("Task", "attempt", models.BigIntegerField())),
        ("NOT_NULL", operations.AddField("Task", "name", models.TextField(default=""))),
        ("ADD_UNIQUE", operations.AlterUniqueTogether("Worker", {("hostname", "pid")})),
        ("ADD_CONSTRAINT", operations.AddConstraint("Worker", CHECK)),
    ],
)
def test_what_locks_or_breaks_is_refused_unless_there_is_a_reason(code: str, change: Any) -> None:
    assert code in found(change)
    assert code in found(change, waived={code: " "})
    assert code not in found(change, waived={code: "the table is small"})


@pytest.mark.django_db(transaction=True)  # an index can't be built so in a transaction
def test_what_can_be_done_beside_the_running_version_is_let_through() -> None:
    assert found(operations.AddField("Task", "note", models.TextField(null=True))) == []
    assert found(operations.AddField("Task", "note", models.TextField(db_default=""))) == []
    assert found(AddIndexConcurrently("Task", INDEX), atomic=False) == []
    assert found(AddConstraintNotValid("Worker", CHECK)) == []


def test_a_reason_for_nothing_is_refused() -> None:
    change = operations.AddField("Task", "note", models.TextField(null=True))
    assert found(change, waived={"DROP_TABLE": "it was"}) == ["DROP_TABLE"]
