"""A small HTTP server of this machine that keeps what is sent to it, for tests."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Receiver:
    """The bodies of the POSTs that it took with their paths, and the paths of the GETs.

    :param silent: it takes connections, and never answers.
    """

    #: How a body is unpacked, by its Content-Encoding.
    UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress}

    def __init__(self, *, silent: bool = False) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.pings: list[str] = []
        #: What it answers; another one than 200 takes nothing.
        self.status = 200
        self.asked = threading.Event()
        over = self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if unpack := receiver.UNPACK.get(self.headers.get("Content-Encoding", "")):
                    body = unpack(body)
                if receiver.status == 200:
                    receiver.bodies.append((self.path, body))
                self._answer()

            def do_GET(self) -> None:
                receiver.pings.append(self.path)
                self._answer()

            def _answer(self) -> None:
                receiver.asked.set()
                if silent:
                    over.wait()
                    return
                self.send_response(receiver.status)
                if receiver.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
