"""The load: requests that enqueue, at a steady rate, until it is told to stop."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .target import Target
from .visitor import TIMEOUT, Visitor

#: Of 20 operations, so many of each kind; a chain counts twice.
MIX = ["short"] * 10 + ["long", "event", "limited"] * 2 + ["unique", "later", "retry", "chain"]
#: Seconds of work, from and to.
SECONDS = {"short": (0.01, 0.06), "long": (0.4, 1.2), "chain": (0.01, 0.05),
           "unique": (0.01, 0.1), "event": (0.01, 0.05), "limited": (0.1, 0.5)}  # fmt: skip
SENDERS = 6
#: Those who look at a page, while the others enqueue, and what they look at.
READERS = 4
PAGE = "/admin/login/"
#: Beside them one file after another is uploaded: so many pieces of so many bytes, at 10 MB/s.
PIECES, PIECE = 300, b"x" * 1_000_000


@dataclass
class Answers:
    """What the visitors were told."""

    accepted: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    #: When each request that enqueues was sent (``time.monotonic()``), and how long it took.
    seconds: list[tuple[float, float]] = field(default_factory=list)
    #: Requests for a page, and uploads.
    pages: int = 0
    uploads: int = 0

    @property
    def sent(self) -> int:
        """How many requests got an answer, or failed."""
        return len(self.seconds) + self.pages + self.uploads

    def percentiles(self, since: float, until: float) -> tuple[float, float]:
        """Return the median and the 99th percentile, in seconds, of what was sent in between."""
        took = sorted(took for sent, took in self.seconds if since <= sent <= until) or [0.0]
        return took[len(took) // 2], took[len(took) * 99 // 100]


class Load:
    """Sends requests from a few threads: 5 operations each, every tenth one is rolled back.

    Half of the threads keep their connection alive.
    """

    def __init__(
        self,
        target: Target,
        label: str,
        rate: float,
        seed: object,
        pages: float = 0.0,
        *,
        uploads: bool = False,
    ) -> None:
        """:param rate: operations per second.
        :param pages: requests for a page per second, beside them.
        :param uploads: whether one file of 300 MB after another is uploaded, beside them.
        """
        self.target = target
        self.label = label
        self.rate = rate
        self.answers = Answers()
        self._random = random.Random(f"{seed}/{label}")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._started = self._next_at = time.monotonic()
        self._threads = [
            threading.Thread(target=self._send, args=[n % 2 == 0], name=f"load-{n}", daemon=True)
            for n in range(SENDERS)
        ]
        if pages:
            self._threads += [
                threading.Thread(
                    target=self._read, args=[n % 2 == 0, READERS / pages], daemon=True,
                    name=f"pages-{n}",
                )
                for n in range(READERS)
            ]  # fmt: skip
        if uploads:
            self._threads.append(threading.Thread(target=self._upload, name="upload", daemon=True))

    def start(self) -> None:
        """Start to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing more, and wait for the answers that are due."""
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 5)

    @property
    def accepted(self) -> int:
        """How many operations were accepted so far."""
        return len(self.answers.accepted)

    def operation(self, kind: str, seconds: float | None = None) -> dict[str, Any]:
        """Return one operation, with an id of its own."""
        with self._lock:
            number = next(self._numbers)
            low, high = SECONDS.get(kind, (0.0, 0.0))
            chosen = self._random.uniform(low, high)
        return {
            # As wide as any: no id is the beginning of another.
            "id": f"{self.label}/{number:06}",
            "kind": kind,
            "seconds": chosen if seconds is None else seconds,
        }

    def post(
        self, operations: list[dict[str, Any]], visitor: Visitor | None = None, **options: Any
    ) -> bool:
        """Enqueue *operations* by one request; return whether it was accepted."""
        body = json.dumps({"label": self.label, "operations": operations, **options})
        visitor = visitor or self._visitor(keep_alive=False)
        started = time.monotonic()
        status, text, error = self._ask(visitor, "POST", "/chaos/enqueue", body)
        took = time.monotonic() - started
        with self._lock:
            self.answers.seconds.append((started, took))
            if status != 202:
                # A process that was asked to die can't answer.
                if not options.get("die"):
                    self.answers.failures.append(error)
                return False
            if not options.get("rollback"):
                self.answers.accepted.update(json.loads(text)["operations"])
        return True

    def _visitor(self, *, keep_alive: bool) -> Visitor:
        target = self.target
        return Visitor(target.host, target.port, target.headers, keep_alive=keep_alive)

    def _ask(
        self, visitor: Visitor, method: str, path: str, body: str | Iterable[bytes] | None = None
    ) -> tuple[int, bytes, str]:
        """Return status, body, and what to write down if that is a failure."""
        sent_at = time.monotonic() - self._started
        try:
            status, text = visitor.request(method, path, body)
            error = str(status)
        except (OSError, http.client.HTTPException) as failure:
            status, text, error = 0, b"", f"{type(failure).__name__}: {failure}"
        kept = "kept" if visitor.keep_alive else "new"
        return status, text, f"{sent_at:.1f} s: {method} on a {kept} connection: {error}"

    def _send(self, keep_alive: bool) -> None:
        visitor = self._visitor(keep_alive=keep_alive)
        while not self._stop.is_set():
            with self._lock:
                at = max(self._next_at, time.monotonic() - 1)
                self._next_at = at + 5 / self.rate
                kinds = self._random.choices(MIX, k=5)
                rollback = self._random.random() < 0.1
            if self._stop.wait(max(0.0, at - time.monotonic())):
                break
            operations = [self.operation(kind) for kind in kinds]
            if not self.post(operations, visitor, rollback=rollback):
                self._stop.wait(0.5)
        visitor.close()

    def _read(self, keep_alive: bool, pause: float) -> None:
        visitor = self._visitor(keep_alive=keep_alive)
        while not self._stop.wait(pause):
            status, _, error = self._ask(visitor, "GET", PAGE)
            with self._lock:
                self.answers.pages += 1
                if status != 200:
                    self.answers.failures.append(error)
        visitor.close()

    def _upload(self) -> None:
        visitor = self._visitor(keep_alive=False)
        while not self._stop.is_set():
            sent = 0

            def body() -> Iterator[bytes]:
                nonlocal sent
                for _ in range(PIECES):
                    yield PIECE
                    sent += len(PIECE)
                    if self._stop.wait(len(PIECE) / 10_000_000):
                        break

            status, text, error = self._ask(visitor, "POST", "/chaos/upload", body())
            arrived = json.loads(text)["bytes"] if status == 200 else 0
            with self._lock:
                self.answers.uploads += 1
                if arrived != sent or not sent:
                    self.answers.failures.append(f"{error}, {arrived} of {sent} bytes arrived")
        visitor.close()
