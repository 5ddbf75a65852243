"""Finds in a migration's SQL what locks a large table, or breaks the version that still runs.

The rules are django-migration-linter's, but for its own way to waive one, which an image would have
to import. Here a migration says it with its reason, and nothing else is waived by it::

    class Migration(migrations.Migration):
        lint = {"CREATE_INDEX": "the table is new in this release, and empty"}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django_migration_linter.sql_analyser.base import Check, CheckMode, CheckType
from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

from durable.discovery import takes_part

_VALIDATED = re.compile(r'ALTER TABLE "?(\w+)"? ADD CONSTRAINT .* (CHECK|FOREIGN KEY|EXCLUDE)\b')


def adds_checked_constraint(sql: list[str], **kwargs: Any) -> bool:
    """Return whether a constraint is compared with the rows of a table that is there already."""
    text = "\n".join(sql)
    return any(
        not re.search(rf'CREATE TABLE "?{found[1]}\b', text)
        for line in sql
        if (found := _VALIDATED.search(line)) and "NOT VALID" not in line
    )


class Analyser(PostgresqlAnalyser):
    """The linter's rules for PostgreSQL, and one that it lacks."""

    migration_checks = [
        *PostgresqlAnalyser.migration_checks,
        Check(
            code="ADD_CONSTRAINT",
            fn=adds_checked_constraint,
            message="ADD CONSTRAINT reads all of the table under a lock; NOT VALID and a VALIDATE "
            "in a migration of its own don't",
            mode=CheckMode.TRANSACTION,
            type=CheckType.ERROR,
        ),
    ]


def lint(migration: Migration, statements: list[str]) -> Iterator[str]:
    """Yield what is wrong with a migration's *statements*, without what it waives."""
    sql = [line for line in statements if line and not line.startswith("--")]
    analyser = Analyser(None)
    analyser.analyse(sql)
    found = {issue.code: issue.message for issue in (*analyser.errors, *analyser.warnings)}
    waived = getattr(migration, "lint", {})
    name = f"{migration.app_label}.{migration.name}"
    for code, message in sorted(found.items()):
        if not str(waived.get(code, "")).strip():
            yield (
                f"{name}: {code}: {message}; do it in two releases (docs/upgrading.md, “A table "
                f'changes”), or give the reason: lint = {{"{code}": "…"}}'
            )
    for code in sorted(set(waived) - set(found)):
        yield f"{name}: {code}: is waived in lint, and there is nothing to waive"


def own() -> Iterator[tuple[Migration, list[str]]]:
    """Yield the project's own migrations and the package's, each with its SQL.

    Not an app's first: what it makes is new, and empty.
    """
    loader = MigrationLoader(connection, replace_migrations=False)
    labels = {config.label for config in apps.get_app_configs() if takes_part(config)}
    for (label, _), migration in sorted(loader.graph.nodes.items()):
        if label in labels and not migration.initial:
            sql = loader.collect_sql([(migration, False)])
            yield migration, [*(["BEGIN;"] if migration.atomic else []), *sql]
