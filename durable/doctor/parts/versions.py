"""The versions of what runs here; those that were not tested are a check's (settings)."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from django.conf import settings

from durable import __version__

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield one line for all."""
    parts = [f"{name} {version(name)}" for name in ("celery", "django")]
    yield Line(
        "versions", "", Level.OK,
        f"{getattr(settings, 'APP_VERSION', '') or 'no APP_VERSION'}, durable {__version__}, "
        f"{', '.join(parts)}, Python {platform.python_version()}",
    )  # fmt: skip
