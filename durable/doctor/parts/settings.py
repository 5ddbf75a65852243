"""What durable/checks finds in the settings, for a public site too."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import ERROR

from durable.checks.start import found

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield a line for each contradiction, and one if there is none."""
    messages = found()
    for message in messages:
        level = Level.FAIL if message.level >= ERROR else Level.WARN
        yield Line("settings", str(message.id), level, str(message.msg), str(message.hint or ""))
    if not messages:
        yield Line("settings", "", Level.OK, "no check finds anything")
