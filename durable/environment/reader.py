"""Typed reading of the environment: a wrong value stops the start with one line that names it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from email.utils import getaddresses
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from . import addresses
from .files import UnreadableError, read_text

T = TypeVar("T")

TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE = frozenset({"0", "false", "no", "off", "n", "f"})
SECRET_WORDS = ("SECRET", "PASSWORD", "TOKEN", "PASSPHRASE", "HEADERS")
ADDRESS = r"[^\s@<>]+@[^\s@<>]+"
POSTGRESQL = "postgresql://USER:PASSWORD@HOST:PORT/NAME"


class ConfigurationError(SystemExit):
    """The environment is wrong; the process ends with status 1 and this one line on stderr.

    A ``SystemExit`` and not Django's ``ImproperlyConfigured``: what imports the settings
    (``manage.py``, ``celery -A proj``, gunicorn) then ends with the line alone, without a
    traceback through the framework in which a person has to look for it.
    """


class ExpectedError(ValueError):
    """The text that a parser expects instead of the one it got, where that depends on the value."""


def shown(name: str, value: str) -> str:
    """Return *value* as an error message may show it: no secret, nothing of a URL, not endless."""
    if any(word in name or word in value.upper() for word in SECRET_WORDS):
        return "(secret, not shown)"
    if (name.endswith(("_URL", "_BACKEND")) and ":" in value) or "@" in value:
        # With a / or a # in a password no parser can tell which part of the URL it is.
        quoted = ", and begins with a quotation mark" if value[0] in "'\"" else ""
        return f"(not shown, it may hold a password{quoted})"
    return repr(value if len(value) <= 120 else value[:117] + "...")


def wrong(name: str, value: str, expected: str) -> ConfigurationError:
    """Build the one line for a value that can't be used: variable, value, what would be right."""
    return ConfigurationError(f"{name}={shown(name, value)}: expected {expected}")


def refused(name: str, value: str, expected: str, error: Exception) -> ConfigurationError:
    """Build the one line for a value at which its parser has raised *error*."""
    return wrong(name, value, str(error) if isinstance(error, ExpectedError) else expected)


def check(name: str, value: str, parse: Callable[[str], Any], expected: str) -> None:
    """End the start if *parse* doesn't accept a setting that need not come from the environment."""
    try:
        parse(value)
    except ValueError as error:
        raise refused(name, value, expected, error) from error


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
    editors and ``echo`` leave at a file's end is not part of the value, nor is the half of one
    that a file from Windows leaves at a variable's.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.env: Mapping[str, str] = os.environ if env is None else env

    def raw(self, name: str) -> str | None:
        """Return the text of *name*, or ``None`` when it is not set."""
        value = self.env.get(name, "").rstrip("\r\n")
        if not (path := self.env.get(f"{name}_FILE")):
            return value or None
        try:
            text = read_text(Path(path)).rstrip("\r\n")
        except UnreadableError as error:
            # The value itself may stand where its file's name belongs.
            place = repr(path) if path.startswith(("/", "./", "../")) else "(not shown)"
            raise ConfigurationError(
                f"{name}_FILE={place}: can't be read ({error}); expected the path of a file that "
                f"holds {name}"
            ) from error
        if value and value != text:
            # Celery itself prefers CELERY_BROKER_URL from the environment, this reader the file; a
            # silent winner would be wrong for one of the two.
            raise ConfigurationError(
                f"{name} and {name}_FILE are both set, to different values: remove one"
            )
        return text or None

    def get(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        """Return *name* parsed by *parse*; a ``ValueError`` from it names *expected*."""
        value = self.raw(name)
        if value is None:
            return default
        try:
            return parse(value)
        except (ValueError, KeyError) as error:
            raise refused(name, value, expected, error) from error

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

    def number(self, name: str, default: float, least: float = 0) -> float:
        """Return *name* as a number that is at least *least*."""

        def parse(value: str) -> float:
            number = float(value)
            if not least <= number < math.inf:
                raise ValueError(value)
            return number

        return self.get(name, default, parse, f"a number, {least:g} or more")

    def names(self, name: str, default: list[str]) -> list[str]:
        """Return *name*, a comma-separated list, without blanks and empty parts."""
        return self.get(name, default, split_names, LIST)

    # --- What leads people here ------------------------------------------------------------------

    def hosts(self, name: str, default: list[str]) -> list[str]:
        """Return *name*, a list of host names as Django's ``ALLOWED_HOSTS`` compares them."""
        return self.get(name, default, _each(addresses.host), addresses.HOSTS)

    def origins(self, name: str, default: list[str]) -> list[str]:
        """Return *name*, a list of origins as Django's ``CSRF_TRUSTED_ORIGINS`` compares them."""
        return self.get(name, default, _each(addresses.origin), addresses.ORIGINS)

    def host(self, name: str) -> str:
        """Return *name* as one host name without a pattern; empty when it is not set."""

        def parse(value: str) -> str:
            found = _each(addresses.host)(value)
            if len(found) != 1 or found[0].startswith(("*", ".")):
                raise ValueError(value)
            return found[0].lower()

        return self.get(name, "", parse, "one host name such as example.com, without *")

    def path(self, name: str) -> str:
        """Return *name* as the path below which a site is served: ``/app``, or nothing for ``/``.

        It may be written with a slash at either end, or without.
        """

        def parse(value: str) -> str:
            path = value.strip().strip("/")
            if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*|", path, re.ASCII):
                raise ValueError(value)
            return f"/{path}" if path else ""

        return self.get(name, "", parse, "a path of letters, digits and -._~ such as /app")

    # --- URLs of servers -------------------------------------------------------------------------

    def database_url(self, name: str) -> str:
        """Return *name*, the URL of a database, as libpq reads it; empty when it is not set."""
        if (url := self.raw(name)) is not None:
            self._database(name, url)
            if url.count("@") > 1:  # for libpq the first one ends the password
                raise wrong(name, url, f"{POSTGRESQL} ({addresses.ESCAPES})")
        return url or ""

    def web_url(self, name: str) -> str:
        """Return *name*, a URL that is asked for by HTTP; empty when it is not set."""
        return self.get(name, "", _web_url, WEB_URL)

    def web_urls(self, name: str) -> list[str]:
        """Return *name*, a list of such URLs."""
        expected = f"{WEB_URL}; several with commas"
        return self.get(name, [], lambda value: [*map(_web_url, split_names(value))], expected)

    def database(self, name: str, hint: str) -> dict[str, Any]:
        """Return Django's connection settings from the URL in *name*; PostgreSQL only."""
        return self._database(name, self.required(name, hint))

    def _database(self, name: str, url: str) -> dict[str, Any]:
        if url.partition("://")[0] not in {"postgres", "postgresql"}:
            raise wrong(name, url, POSTGRESQL)
        try:
            import environ  # seldom needed: only an extra brings it

            config: dict[str, Any] = environ.Env.db_url_config(addresses.url(url))
        except (ValueError, KeyError) as error:
            raise wrong(name, url, f"{POSTGRESQL} ({addresses.ESCAPES})") from error
        if not config.get("NAME"):
            raise wrong(name, url, f"{POSTGRESQL} (the database's name is missing)")
        return config

    def sender(self, name: str, default: str) -> str:
        """Return *name*, one address that mail comes from, with a person's name or without."""

        def parse(value: str) -> str:
            [(_, address)] = getaddresses([value])
            if not re.fullmatch(ADDRESS, address) or "\n" in value:
                raise ValueError(value)
            return value

        return self.get(name, default, parse, "one address: Example <noreply@example.com>")

    def addresses(self, name: str) -> list[str]:
        """Return *name*, addresses that mail goes to, without the names of people."""

        def parse(value: str) -> list[str]:
            found = split_names(value)
            if not all(re.fullmatch(ADDRESS, part) for part in found):
                raise ValueError(value)
            return found

        return self.get(name, [], parse, "addresses, comma-separated: a@example.com,b@example.com")

    def email(self, name: str) -> dict[str, Any]:
        """Return Django's ``EMAIL_*`` settings from the URL in *name*; empty when it is not set."""
        if (url := self.raw(name)) is None:
            return {}
        try:
            import environ

            config = environ.Env.email_url_config(addresses.url(url))
        except (KeyError, ValueError, ImproperlyConfigured) as error:
            raise ConfigurationError(
                f"{name} (not shown, it may hold a password): expected "
                "smtp://, smtp+tls:// or smtp+ssl://USER:PASSWORD@HOST:PORT "
                f"({addresses.ESCAPES})"
            ) from error
        # What the URL doesn't say (port, user) is left to Django's defaults.
        return {key: value for key, value in config.items() if value not in (None, "")}


WEB_URL = "https://HOST/PATH or http://HOST/PATH"


def _web_url(value: str) -> str:
    found = urlsplit(value)
    if found.scheme not in {"http", "https"} or not found.hostname:
        raise ValueError(value)
    found.port  # noqa: B018 - raises ValueError, too
    if not value.isascii() or any(sign.isspace() for sign in value):
        raise ValueError(value)
    return value


def _each(right: Callable[[str], str]) -> Callable[[str], list[str]]:
    """Return a parser of lists that accepts the parts which *right* would not write otherwise."""

    def parse(value: str) -> list[str]:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if all(right(part) == part for part in parts):
            return parts
        if meant := ",".join(filter(None, map(right, addresses.parts(value)))):
            raise ExpectedError(meant)
        raise ValueError(value)

    return parse


LIST = "a comma-separated list without quotation marks, brackets and blanks: a,b"


def split_names(value: str) -> list[str]:
    """Split a comma-separated list; what looks like another language's is a ``ValueError``.

    A queue or a check named ``"mail"``, quotation marks included, would match nothing, and no word
    would be said of it.
    """
    names = [part.strip() for part in value.split(",") if part.strip()]
    if any(re.search(r"[\s'\"\[\](){};]", part) for part in names):
        raise ValueError(value)
    return names


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
        try:
            text = read_text(path)
        except UnreadableError as error:
            raise ConfigurationError(f"{path}: can't be read ({error})") from error
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not name.replace("_", "").isalnum():
                raise ConfigurationError(
                    f"{path}, line {number}: expected NAME=value "
                    "(the line is not shown, it may hold a secret)"
                )
            twin = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
            if not os.environ.get(twin):
                os.environ.setdefault(name, value)
