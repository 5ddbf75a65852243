"""The load: requests that enqueue, at a steady rate, until it is told to stop."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

#: Of 20 operations, so many of each kind; a chain counts twice.
MIX = ["short"] * 14 + ["long"] * 2 + ["later"] * 2 + ["retry"] + ["chain"]
#: Seconds of work, from and to.
SECONDS = {"short": (0.01, 0.06), "long": (0.4, 1.2), "chain": (0.01, 0.05)}
#: Seconds until a visitor gives up on an answer.
TIMEOUT = 20.0
SENDERS = 6


@dataclass
class Answers:
    """What the visitors were told."""

    accepted: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    #: When each request was sent (``time.monotonic()``), and how long it took.
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def percentiles(self, since: float, until: float) -> tuple[float, float]:
        """Return the median and the 99th percentile, in seconds, of what was sent in between."""
        took = sorted(took for sent, took in self.seconds if since <= sent <= until) or [0.0]
        return took[len(took) // 2], took[len(took) * 99 // 100]


class Load:
    """Sends requests from a few threads: 5 operations each, every tenth one is rolled back."""

    def __init__(self, port: int, label: str, rate: float, seed: object) -> None:
        """:param rate: operations per second."""
        self.port = port
        self.label = label
        self.rate = rate
        self.answers = Answers()
        self._random = random.Random(f"{seed}/{label}")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next_at = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, name=f"load-{n}", daemon=True)
            for n in range(SENDERS)
        ]

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

    def post(self, operations: list[dict[str, Any]], **options: Any) -> bool:
        """Enqueue *operations* by one request; return whether it was accepted."""
        started = time.monotonic()
        try:
            status, told = self._post({"label": self.label, "operations": operations, **options})
        except (OSError, http.client.HTTPException) as error:
            status, told = 0, {"error": f"{type(error).__name__}: {error}"}
        took = time.monotonic() - started
        with self._lock:
            self.answers.seconds.append((started, took))
            if status != 202:
                # A process that was asked to die can't answer.
                if not options.get("die"):
                    self.answers.failures.append(f"{status or told.get('error')}")
                return False
            if not options.get("rollback"):
                self.answers.accepted.update(told["operations"])
        return True

    def _post(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/chaos/enqueue", json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.status == 202 else {}
        finally:
            connection.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                at = max(self._next_at, time.monotonic() - 1)
                self._next_at = at + 5 / self.rate
                kinds = self._random.choices(MIX, k=5)
                rollback = self._random.random() < 0.1
            if self._stop.wait(max(0.0, at - time.monotonic())):
                return
            operations = [self.operation(kind) for kind in kinds]
            if not self.post(operations, rollback=rollback):
                self._stop.wait(0.5)
