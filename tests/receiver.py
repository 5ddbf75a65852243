"""A small server that takes traces (OTLP/HTTP) and Sentry's events, as the real ones do."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress}


class Span(NamedTuple):
    """A span, as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, Any]
    failed: bool


class Receiver:
    """Keeps all bodies that are sent to it; *silent*: it takes connections, and never answers."""

    def __init__(self, *, silent: bool = False) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.asked = threading.Event()
        over = self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers.get("Content-Encoding", "")
                body = UNPACK[packed](body) if packed in UNPACK else body
                receiver.bodies.append((self.path, body))
                receiver.asked.set()
                if silent:
                    over.wait()
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Take no more."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[Span]:
        """Return the spans that have arrived."""
        found = []
        for path, body in list(self.bodies):
            assert path == "/v1/traces"
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _values(group.resource.attributes)["service.name"]
                for scope in group.scope_spans:
                    found += [
                        Span(
                            one.name, one.trace_id.hex(), one.span_id.hex(),
                            one.parent_span_id.hex(), service, _values(one.attributes),
                            one.status.code == 2,
                        )
                        for one in scope.spans
                    ]  # fmt: skip
        return found

    def events(self) -> list[dict[str, Any]]:
        """Return what Sentry's clients have sent: errors, transactions, check-ins."""
        found = []
        for _, body in list(self.bodies):
            lines = [json.loads(line) for line in body.splitlines() if line]
            found += [one for one in lines[1:] if "event_id" in one or "check_in_id" in one]
        return found


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Start one."""
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def silent() -> Iterator[Receiver]:
    """Start one that never answers."""
    one = Receiver(silent=True)
    yield one
    one.close()
