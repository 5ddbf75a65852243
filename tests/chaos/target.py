"""What the load, the counting and the runner need of a stack, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Target(Protocol):
    """A running stack: compose's (``stack.py``), or a cluster's (``tests/cluster``)."""

    #: Whether it runs with the documentation's settings instead of the project's.
    baseline: bool
    #: Headers that every request needs.
    headers: Mapping[str, str]

    @property
    def host(self) -> str:
        """The address where web is reached."""

    @property
    def port(self) -> int:
        """Its port there."""

    def sql(self, query: str, timeout: float = 60) -> list[list[str]]:
        """Return the rows of a query, as text."""

    def redis(self, *command: str, timeout: float = 60) -> str:
        """Run a command of Redis; return its reply as redis-cli shows it without a terminal."""

    def manage(self, code: str) -> str:
        """Run Python *code* in web with Django set up; return what it prints."""

    def wait_healthy(self, seconds: float = 400) -> None:
        """Wait until all of it is healthy and web serves.

        :raises ChaosError: something isn't, with its last lines.
        """
