"""The settings of one part of this package, each declared once: name, default, type, limit.

The part reads them by ``get``, from Django's settings, and works in a project that sets none. The
project reads them from the environment by ``given``, for its settings.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from django.conf import settings

from .reader import Reader


class Setting(NamedTuple):
    """A setting: its default, whose type is its own, and the least that a number may be.

    A default that is a tuple makes a list: names, or addresses, with commas.
    """

    default: bool | int | float | str | tuple[str, ...]
    least: int = 0
    #: What a text is: the URL of a database, one by HTTP, addresses that mail goes to.
    kind: Literal["text", "database", "web", "addresses"] = "text"


class Declared:
    """The settings of a part: ``<PREFIX>_<NAME>`` in the environment and in Django's settings."""

    def __init__(self, prefix: str, **declared: Setting) -> None:
        self.prefix = prefix
        self.declared = declared

    def get(self, name: str) -> Any:
        """Return the setting *name*, without the prefix, or its default."""
        return getattr(settings, f"{self.prefix}_{name}", self.declared[name].default)

    def given(self, reader: Reader) -> dict[str, Any]:
        """Return all of them by their full names, as the environment has them, or the defaults.

        :raises ConfigurationError: a wrong value.
        """
        found = {f"{self.prefix}_{name}": one for name, one in self.declared.items()}
        return {name: _read(reader, name, one) for name, one in found.items()}


def _read(reader: Reader, name: str, setting: Setting) -> Any:
    default, least = setting.default, setting.least
    if isinstance(default, tuple):
        lists = {"addresses": reader.addresses, "web": reader.web_urls}
        given = lists[setting.kind](name) if setting.kind in lists else reader.names(name, [])
        return given or list(default)
    if isinstance(default, bool):
        return reader.boolean(name, default)
    if isinstance(default, int):
        return reader.integer(name, default, least)
    if isinstance(default, float):
        return reader.number(name, default, least)
    if setting.kind == "web":
        return reader.web_url(name)
    return reader.database_url(name) if setting.kind == "database" else reader.text(name, default)
