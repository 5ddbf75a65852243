"""The settings of this app, by the names that OpenTelemetry and Sentry give them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from durable.environment.reader import Reader


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(value)
    parts.port  # noqa: B018 - raises ValueError, too
    return value.rstrip("/")


def _headers(value: str) -> str:
    for part in filter(str.strip, value.split(",")):
        name, equals, _ = part.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name.strip()):
            raise ValueError(value)
    return value


def _dsn(value: str) -> str:
    parts = urlsplit(_address(value))
    if not parts.username or not parts.path.rpartition("/")[2].isdecimal():
        raise ValueError(value)
    return value


def _share(value: str) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(value)
    return share


def given(env: Reader) -> dict[str, Any]:
    """Return the settings as the environment has them, or the defaults.

    :raises ConfigurationError: a wrong value.
    """
    collector = "the address of a collector that speaks OTLP/HTTP, as http://collector:4318"
    project = "a project's DSN, as https://KEY@HOST/NUMBER"
    part = "a share from 0 to 1"
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": env.get(
            "OTEL_EXPORTER_OTLP_ENDPOINT", "", _address, collector
        ),
        "OTEL_EXPORTER_OTLP_HEADERS": env.get(
            "OTEL_EXPORTER_OTLP_HEADERS", "", _headers, "NAME=VALUE, more of them after commas"
        ),
        "OTEL_SERVICE_NAME": env.text("OTEL_SERVICE_NAME"),
        "OTEL_TRACES_SAMPLER_ARG": env.get("OTEL_TRACES_SAMPLER_ARG", 1.0, _share, part),
        "SENTRY_DSN": env.get("SENTRY_DSN", "", _dsn, project),
        "SENTRY_ENVIRONMENT": env.text("SENTRY_ENVIRONMENT"),
        "SENTRY_TRACES_SAMPLE_RATE": env.get("SENTRY_TRACES_SAMPLE_RATE", 0.0, _share, part),
    }


def get(name: str) -> Any:
    """Return a setting; without one, what is off."""
    return getattr(settings, name, None) or ""
