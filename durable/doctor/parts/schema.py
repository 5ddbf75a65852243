"""The schema, compared with that of this code."""

from __future__ import annotations

from collections.abc import Iterator

from durable.schema.management.commands.wait_migrated import Command

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield the one line."""
    missing = Command().missing()
    yield Line("schema", "", Level.FAIL if missing else Level.OK,
               missing or "has every migration of this code",
               "docker/entrypoint.sh migrate; `make up`, `make run` do it")  # fmt: skip
