"""One client's connection: what it sent so far, what it has yet to take, and how long it may take.

A client has a budget of seconds. Waiting for it spends them, and each byte that it moves earns some
back: one that stays below ``LEAST_RATE`` runs out, however it spreads its bytes, and a burst buys
no long silence later.
"""

from __future__ import annotations

import errno
import re
import select
import socket
import sys
import time
from typing import Any, NamedTuple

from gunicorn import http
from gunicorn.workers.gthread import TConn

from . import limits

_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,18})[ \t]*\r$")
_ENCODING = re.compile(rb"(?im)^transfer-encoding[ \t]*:([^\r\n]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
_EXPECT = re.compile(rb"(?im)^expect:[ \t]*100-continue[ \t]*\r\n")
_PROBE = re.compile(rb"(?:GET|HEAD) (/livez|/readyz)(?:\?[^ ]*)? HTTP/1\.[01]\r\n")


class Budget:
    """Seconds that are left to a client."""

    def __init__(self) -> None:
        self.seconds = limits.GRACE

    def spend(self, waited: float, moved: int) -> None:
        """Take off the seconds *waited*, and add those that *moved* bytes are worth."""
        self.seconds = min(limits.GRACE, self.seconds - waited + moved / limits.LEAST_RATE)


class Head(NamedTuple):
    """The form of a request, as its head says. gunicorn's parser alone decides what it means.

    :ivar end: where the body begins.
    :ivar size: bytes of the whole request, or ``None`` if they are not announced: it is in chunks.
    :ivar probe: the path of a probe that is asked for, or nothing.
    """

    end: int
    size: int | None
    expects: bool
    probe: str

    @property
    def is_upload(self) -> bool:
        """``True`` if it is announced that a thread has to read the body while it comes."""
        return self.size is not None and self.size > limits.BUFFER


def head_of(received: bytearray) -> Head | None:
    """Return the head of the request that *received* begins with, or ``None`` if it goes on."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[: end + 2])
    lengths = [int(length) for length in _LENGTH.findall(head)]
    encodings = [value.strip().lower() for value in _ENCODING.findall(head)]
    size: int | None = end + 4 + max(lengths, default=0)
    if encodings:  # beside a length, or another one: for the parser to refuse
        size = None if encodings == [b"chunked"] and not lengths else sys.maxsize
    probe = _PROBE.match(head) if size == end + 4 else None
    return Head(end + 4, size, bool(_EXPECT.search(head)), probe[1].decode() if probe else "")


def past_chunks(received: bytearray, start: int) -> tuple[int, bool]:
    """Return how far the chunks from *start* on are whole, and whether the last one is among them.

    What is no chunk ends them: gunicorn's parser says what is wrong with it.
    """
    while chunk := _CHUNK.match(received, start):
        size = int(chunk[1], 16)
        if not size:
            return start, received.find(b"\r\n\r\n", chunk.end() - 2) >= 0
        if chunk.end() + size + 2 > len(received):
            return start, False
        start = chunk.end() + size + 2
    return start, received.find(b"\r\n", start) >= 0


def without_expectation(received: bytearray) -> bytearray:
    """Return *received* without its ``Expect``, which was answered: gunicorn would do so again."""
    head, end, body = received.partition(b"\r\n\r\n")
    return bytearray(_EXPECT.sub(b"", bytes(head + end))) + body


class Stream:
    """A socket for gunicorn's parser and responses, which are used to one that blocks.

    Writing leaves what the client doesn't take at once in ``unsent``, for the event loop. Reading
    is for uploads; anything else was received before, and finds no more.

    :ivar readable: a thread may wait for the client's next bytes.
    :ivar broken: the connection ended within a request or an answer.
    """

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.unsent = bytearray()
        self.readable = False
        self.broken = False
        self.budget = Budget()

    def recv(self, size: int) -> bytes:
        """Return the next bytes of an upload.

        :raises TimeoutError: the client is slower than it may be, or this is no upload.
        """
        while self.readable:
            began = time.monotonic()
            ready = _wait(self.raw, select.POLLIN, self.budget.seconds)
            try:
                data = self.raw.recv(size) if ready else b""
            except BlockingIOError:
                data, ready = b"", False
            self.budget.spend(time.monotonic() - began, len(data))
            if ready:
                return data
            if self.budget.seconds <= 0:
                break
        raise _gone("the client sends too slowly")

    def sendall(self, data: bytes) -> None:
        """Send *data*, or keep what the client doesn't take at once."""
        if self.unsent:
            self.unsent += data
            self.flush()
        else:
            sent = _send(self.raw, data)
            self.unsent += memoryview(data)[sent:]
        budget = Budget()
        while len(self.unsent) > limits.ANSWER:
            began = time.monotonic()
            _wait(self.raw, select.POLLOUT, budget.seconds)
            # Of a long answer the thread sees the end sooner than at the least rate.
            budget.spend(time.monotonic() - began, self.flush() // 64)
            if budget.seconds <= 0:
                self.broken = True
                raise _gone("the client reads too slowly")

    send = sendall

    def flush(self) -> int:
        """Send what the client takes now; return how many bytes that was."""
        sent = _send(self.raw, memoryview(self.unsent)[: 256 * 1024])
        del self.unsent[:sent]
        return sent

    def setblocking(self, blocking: bool) -> None:
        """Do nothing: it looks as if it did, and never does."""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: each client has its budget."""

    def gettimeout(self) -> float:
        """Return what a socket says that doesn't block."""
        return 0.0

    def shutdown(self, how: int) -> None:
        """Note that an answer ended early; the event loop ends the connection."""
        self.broken = True

    def close(self) -> None:
        """See :meth:`shutdown`."""
        self.broken = True


class Connection(TConn):  # type: ignore[misc]
    """A connection whose requests the event loop receives, and a thread answers.

    :ivar handed: bytes of the request that a thread has.
    :ivar due: when the client has to have done what the loop waits for, by the monotonic clock.
    """

    def __init__(self, cfg: Any, raw: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, raw, client, server)
        self.raw = raw
        self.sock = Stream(raw)
        self.parser = http.get_parser(cfg, self.sock, client)
        self.initialized = self.data_ready = True
        self.received = bytearray()
        self.walked = 0  # of what was received, past its whole chunks
        self.budget = Budget()
        self.stage: Any = None
        self.since = self.due = 0.0
        self.keep = self.is_upload = False
        self.probe = ""
        self.handed = 0

    def is_whole(self, head: Head) -> bool:
        """Return whether all of the request that begins with *head* is here."""
        if head.size is not None:
            return len(self.received) >= head.size
        self.walked, whole = past_chunks(self.received, self.walked or head.end)
        return whole

    def moved(self, count: int) -> None:
        """Note that the client moved *count* bytes just now."""
        now = time.monotonic()
        self.budget.spend(now - self.since, count)
        self.since, self.due = now, now + self.budget.seconds


def _wait(raw: socket.socket, events: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(raw, events)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _send(raw: socket.socket, data: bytes | memoryview) -> int:
    try:
        return raw.send(data)
    except BlockingIOError:
        return 0


def _gone(why: str) -> TimeoutError:
    return TimeoutError(errno.ECONNRESET, why)  # as gunicorn knows a client that is gone
