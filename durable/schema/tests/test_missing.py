"""Which migrations are missing, with squashed ones among them."""

from __future__ import annotations

import pytest
from django.db import connection, migrations
from django.db.migrations.recorder import MigrationRecorder

from durable.schema import missing

pytestmark = pytest.mark.django_db

FIRST, SECOND, BOTH = ("a", "0001"), ("a", "0002"), ("a", "0001_squashed_0002")


@pytest.mark.parametrize(
    ("applied", "lacks"),
    [
        ([], [BOTH]),
        ([FIRST], [SECOND]),
        ([FIRST, SECOND], []),
        ([BOTH], []),
    ],
)
def test_a_squashed_migration_stands_for_those_that_it_replaces(
    applied: list[tuple[str, str]],
    lacks: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_disk = {key: migrations.Migration(key[1], key[0]) for key in (FIRST, SECOND, BOTH)}
    monkeypatch.setattr(on_disk[BOTH], "replaces", [FIRST, SECOND])
    monkeypatch.setattr(missing, "_on_disk", lambda: on_disk)
    recorder = MigrationRecorder(connection)
    for key in applied:
        recorder.record_applied(*key)
    assert missing.missing() == lacks
