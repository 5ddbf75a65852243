"""How an invariant is written down: once, as a function that yields what contradicts it.

The id, what is compared and what to change stand beside it; docs/settings-checks.md is the table
of them. An **error** (``E``) loses or doubles work and keeps a role from starting; everything else
is a **warning** (``W``), which goes to the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error, Tags, Warning, register

#: The tag of every check here: ``manage.py check --deploy --tag proj``.
TAG = "proj"

#: What contradicts an invariant: a sentence with the numbers, and what to change.
Finding = tuple[str, str]
Find = Callable[[], Iterable[Finding]]


class Invariant(NamedTuple):
    """One row of docs/settings-checks.md."""

    id: str
    compares: str
    change: str


#: All of them, in the order in which they were read.
INVARIANTS: list[Invariant] = []


def invariant(id_: str, compares: str, change: str, *, asks_database: bool = False) -> Any:
    """Register a function that yields a :data:`Finding` for each contradiction.

    :param id_: ``proj.E…`` for what loses or doubles work, ``proj.W…`` for the rest.
    :param compares: what is compared, for the table.
    :param change: what to change, for the table.
    :param asks_database: run only by ``manage.py check --database default``, never at a start.
    """
    level = {"E": Error, "W": Warning}[id_.removeprefix("proj.")[0]]
    INVARIANTS.append(Invariant(id_, compares, change))

    def decorate(find: Find) -> Find:
        def check(databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
            if asks_database and not databases:
                return []
            return [level(text, hint=hint, id=id_) for text, hint in find()]

        register(check, *((Tags.database,) if asks_database else ()), TAG, deploy=True)
        return find

    return decorate
