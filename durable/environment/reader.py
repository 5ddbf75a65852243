"""Typed reading of the environment: a wrong value stops the start with one line that names it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import environ
from celery.app.utils import sanitize_url
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

T = TypeVar("T")

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE = frozenset({"0", "false", "no", "off", "n", "f"})
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "PASSPHRASE")


class ConfigurationError(SystemExit):
    """The environment is wrong; the process ends with status 1 and this one line on stderr.

    A ``SystemExit`` and not Django's ``ImproperlyConfigured``: whoever imports the settings
    (``manage.py``, ``celery -A proj``, gunicorn) then ends with the line alone, without a
    traceback through the framework in which a person has to look for it.
    """


def shown(name: str, value: str) -> str:
    """Return *value* as an error message may show it: without passwords, and not endless."""
    if any(word in name for word in SECRET_WORDS):
        return "(secret, not shown)"
    if "://" in value:
        value = sanitize_url(value)
    return repr(value if len(value) <= 120 else value[:117] + "...")


def wrong(name: str, value: str, expected: str) -> ConfigurationError:
    """Build the one line for a value that can't be used: variable, value, what would be right."""
    return ConfigurationError(f"{name}={shown(name, value)}: expected {expected}")


def parse_bool(value: str) -> bool:
    """Parse a truth value; anything but the known words is a ``ValueError``.

    django-environ reads every unknown word as false, so ``DEBUG=ture`` would go unnoticed.
    """
    word = value.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError(value)


class Reader:
    """Reads settings by name from *env*, each as ``X`` or from the file that ``X_FILE`` names.

    An empty variable counts as not set: compose files and shells write ``X=`` for "nothing".
    Both at once, with different values, is an error, as in PostgreSQL's image. The line break that
    editors and ``echo`` leave at a file's end is not part of the value.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.env: Mapping[str, str] = os.environ if env is None else env
        self._values = FileAwareMapping(env=self.env)

    def raw(self, name: str) -> str | None:
        """Return the text of *name*, or ``None`` when it is not set."""
        path = self.env.get(f"{name}_FILE")
        try:
            value = self._values[name]
        except KeyError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigurationError(
                f"{name}_FILE={path!r}: can't be read ({reason}); expected a file that holds {name}"
            ) from error
        if path:
            value = value.rstrip("\r\n")
            if self.env.get(name) not in (None, "", value):
                # Celery itself prefers CELERY_BROKER_URL from the environment, django-environ the
                # file; a silent winner would be wrong for one of the two.
                raise ConfigurationError(
                    f"{name} and {name}_FILE are both set, to different values: remove one"
                )
        return value or None

    def get(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        """Return *name* parsed by *parse*; a ``ValueError`` from it names *expected*."""
        value = self.raw(name)
        if value is None:
            return default
        try:
            return parse(value)
        except (ValueError, KeyError) as error:
            raise wrong(name, value, expected) from error

    def text(self, name: str, default: str = "") -> str:
        """Return *name* as it stands."""
        return self.raw(name) or default

    def required(self, name: str, hint: str) -> str:
        """Return *name*; without it the start ends with *hint*, a full sentence of help."""
        value = self.raw(name)
        if value is None:
            raise ConfigurationError(f"{name} is not set: {hint}")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """Return *name* as a truth value."""
        return self.get(name, default, parse_bool, "true or false")

    def integer(self, name: str, default: int, least: int = 0) -> int:
        """Return *name* as a whole number that is at least *least*."""

        def parse(value: str) -> int:
            number = int(value)
            if number < least:
                raise ValueError(value)
            return number

        return self.get(name, default, parse, f"a whole number, {least} or more")

    def names(self, name: str, default: list[str]) -> list[str]:
        """Return *name*, a comma-separated list, without blanks and empty parts."""
        return self.get(name, default, split_names, "a comma-separated list")

    def database(self, name: str, hint: str) -> dict[str, Any]:
        """Return Django's connection settings from the URL in *name*; PostgreSQL only."""
        url = self.required(name, hint)
        expected = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
        if url.partition("://")[0] not in {"postgres", "postgresql"}:
            raise wrong(name, url, expected)
        try:
            config: dict[str, Any] = environ.Env.db_url_config(url)
        except (ValueError, KeyError) as error:
            raise wrong(name, url, expected) from error
        if not config.get("NAME"):
            raise wrong(name, url, f"{expected} (the database's name is missing)")
        return config

    def email(self, name: str) -> dict[str, Any]:
        """Return Django's ``EMAIL_*`` settings from the URL in *name*; empty when it is not set.

        The URL is never shown: a password in it is the rule.
        """
        if (url := self.raw(name)) is None:
            return {}
        try:
            config = environ.Env.email_url_config(url)
        except (KeyError, ValueError, ImproperlyConfigured) as error:
            raise ConfigurationError(
                f"{name} (not shown, it may hold a password): expected "
                "smtp://, smtp+tls:// or smtp+ssl://USER:PASSWORD@HOST:PORT"
            ) from error
        # What the URL doesn't say (port, user) is left to Django's defaults.
        return {key: value for key, value in config.items() if value not in (None, "")}


def split_names(value: str) -> list[str]:
    """Split a comma-separated list."""
    return [part.strip() for part in value.split(",") if part.strip()]


def load_env_files(*paths: Path) -> None:
    """Put the variables of the files that exist into the environment, the first one winning.

    What the environment holds already is never replaced. One line is ``NAME=value``; the value
    is taken as it stands, as compose does with ``env_file: {format: raw}`` and kustomize with
    ``configMapGenerator.envs``, so that the three read one file alike. (``Env.read_env`` strips
    quotes and comments, and would not.) ``NAME_FILE`` from a stronger source beats a weaker
    ``NAME`` and the other way round: both are the same setting.
    """
    for path in paths:
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not name.replace("_", "").isalnum():
                raise ConfigurationError(
                    f"{path}, line {number}: expected NAME=value, got {line!r}"
                )
            twin = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
            if not os.environ.get(twin):
                os.environ.setdefault(name, value)
