"""Answers that go on: server-sent events, as many as leave enough threads for all other requests.

Each holds a thread. The next one is answered as JSON, once; the page asks again after a while
(static/durable/events.js).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from functools import cache
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse

#: Seconds between two looks, and until a stream ends; the browser then comes again.
LOOK, LONGEST = 0.5, 25

Look = Callable[[], dict[str, Any] | None]


@cache
def streams() -> BoundedSemaphore:
    """Return what counts the streams of this process: a quarter of its threads, or one."""
    return BoundedSemaphore(max(1, getattr(settings, "WEB_THREADS", 4) // 4))


def answer(request: HttpRequest, look: Look, first: dict[str, Any]) -> HttpResponseBase:
    """Answer with what *look* returns: as it changes to those who ask for a stream, else once.

    :param look: returns what there is to tell, which is over with ``finished``; ``None``: nothing
        any more.
    :param first: what it has returned.
    """
    asked = request.method == "GET" and "text/event-stream" in request.headers.get("Accept", "")
    if not asked or not streams().acquire(blocking=False):
        return JsonResponse(first)
    return StreamingHttpResponse(
        Stream(look, first), content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )  # fmt: skip


class Stream:
    """The events of one answer."""

    def __init__(self, look: Look, first: dict[str, Any]) -> None:
        self._events = self._all(look, first)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """Make room for another stream; Django calls it, however the answer has ended."""
        if self._open:
            self._open = False
            self._events.close()
            streams().release()

    def _all(self, look: Look, first: dict[str, Any]) -> Generator[bytes, None, None]:
        end = time.monotonic() + LONGEST
        found: dict[str, Any] | None = first
        before = None
        while found is not None:
            if found != before:
                yield f"retry: 1000\ndata: {json.dumps(found)}\n\n".encode()
            if found.get("finished") or time.monotonic() > end:
                return
            if found == before:
                yield b":\n\n"  # those who have gone are noticed
            before = found
            for connection in connections.all(initialized_only=True):
                if not connection.in_atomic_block:
                    connection.close()  # into the pool, for others
            time.sleep(LOOK)
            found = look()
