"""The proxy in front of web, asked for what web answers at once: one question for both."""

from __future__ import annotations

import http.client
import time
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from durable.database.asked import Asked, Since

from . import conf

#: Seconds that the proxy has to answer, and that an answer is good for.
TIMEOUT, KEEP = 2.0, 5.0


class State(NamedTuple):
    """What the proxy has last answered."""

    #: ``ok``; ``away``: no answer; ``lost``: it answers, and does not reach web.
    state: str
    says: str
    #: Seconds until it had answered.
    took: float
    #: When it was first found so.
    since: datetime


def read() -> State | None:
    """Return the last answer; ``None``: none is known yet, or no proxy is named.

    No page waits for it: where web has one thread, that one asks, and has to answer too.
    """
    if not conf.get("PROXY"):
        return None
    answer, _ = _asked.read()
    return answer


def _ask() -> State:
    found = ("away", "no answer", TIMEOUT)
    for url in conf.get("PROXY"):
        begin = time.monotonic()
        try:
            status = _status(url)
        except (OSError, http.client.HTTPException) as error:
            found = ("away", type(error).__name__, time.monotonic() - begin)
            continue
        took = time.monotonic() - begin
        found = ("lost", f"answers {status}", took) if status >= 500 else ("ok", "", took)
        break
    return State(*found, since=_since.of(found[0]))


def _status(url: str) -> int:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


_asked = Asked(_ask, KEEP, 0.0)
_since = Since()
