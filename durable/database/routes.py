"""The database of a model, asked several times for each task."""

from __future__ import annotations

from typing import Any

from django.db import router

_known: tuple[Any, dict[Any, str]] = (None, {})


def alias_of(model: Any) -> str:
    """Return the alias of the database that *model* is written to, as the routers say once."""
    global _known
    routers = router.routers
    if _known[0] is not routers:  # others: a test has set them
        _known = (routers, {})
    found = _known[1].get(model)
    if found is None:
        found = _known[1][model] = router.db_for_write(model)
    return found
