"""A server that takes alerts and pings, and can be told to refuse them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What came in: the JSON of each POST that was taken, and the paths of the GETs."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self.status = 200
        self.url = ""

    @property
    def said(self) -> list[tuple[str, list[str]]]:
        """Status and alerts of each message."""
        return [(each["status"], [one["labels"]["alertname"] for one in each["alerts"]])
                for each in self.messages]  # fmt: skip


@contextmanager
def listening() -> Iterator[Receiver]:
    """Serve at a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.status == 200:
                receiver.messages.append(json.loads(body))
            self._answer()

        def do_GET(self) -> None:
            receiver.pings.append(self.path)
            self._answer()

        def _answer(self) -> None:
            self.send_response(receiver.status)
            if receiver.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
