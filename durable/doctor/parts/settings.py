"""The findings of durable/checks in the settings, for a public site too."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from django.core.checks import ERROR

from durable.checks.start import found

from ..line import Level, Line

_one_at_a_time = threading.Lock()  # some checks parse source (examine.py)


def lines() -> Iterator[Line]:
    """Yield a line for each contradiction, and one if there is none."""
    with _one_at_a_time:
        messages = found()
    for message in messages:
        level = Level.FAIL if message.level >= ERROR else Level.WARN
        yield Line("settings", str(message.id), level, str(message.msg), str(message.hint or ""))
    if not messages:
        yield Line("settings", "", Level.OK, "no check finds anything")
