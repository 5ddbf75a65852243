"""The schema, compared with that of this code."""

from __future__ import annotations

from collections.abc import Iterator

from durable.schema.missing import missing

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield the one line."""
    lacks = missing()
    says = f"lacks {len(lacks)} migration(s), from {'.'.join(lacks[0])} on" if lacks else ""
    yield Line("schema", "", Level.FAIL if lacks else Level.OK,
               says or "has every migration of this code",
               "docker/entrypoint.sh migrate; `make up`, `make run` do it")  # fmt: skip
