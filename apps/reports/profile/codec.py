"""A partial profile as bytes. JSON: a partial may be read by a worker of another version."""

from __future__ import annotations

import json

from .column import Column


def dump(columns: list[Column]) -> bytes:
    """Return partial profiles as bytes; Python's integers keep all of their digits."""
    data = [column.to_json() for column in columns]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def load(data: bytes) -> list[Column]:
    """Build partial profiles again from :func:`dump`."""
    return [Column.from_json(column) for column in json.loads(data)]
