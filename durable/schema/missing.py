"""The migrations of this code that the schema lacks: for those who wait, the doctor, `/metrics`."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


@cache
def _on_disk() -> dict[tuple[str, str], Any]:
    return MigrationLoader(None, ignore_no_migrations=True).disk_migrations


def missing() -> list[tuple[str, str]]:
    """Return app and name of those that were not applied; one statement.

    A squashed one stands for those that it replaces, unless some of them were applied.

    :raises django.db.Error: the database can't be asked.
    """
    applied = set(MigrationRecorder(connections[DEFAULT_DB_ALIAS]).applied_migrations())
    found = _on_disk().keys() - applied
    for key, migration in _on_disk().items():
        if replaced := {*migration.replaces}:
            found -= replaced if key in applied or not replaced & applied else {key}
    return sorted(found)
