"""A small server that takes traces (OTLP/HTTP) and Sentry's events, as the real ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import brotli
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from durable.tests.receiver import Receiver


class Span(NamedTuple):
    """A span, as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, Any]
    failed: bool


class TraceReceiver(Receiver):
    """Takes what OpenTelemetry's and Sentry's clients send."""

    UNPACK = {**Receiver.UNPACK, "br": brotli.decompress}

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
def receiver() -> Iterator[TraceReceiver]:
    """Start one."""
    with TraceReceiver() as found:
        yield found


@pytest.fixture
def silent() -> Iterator[TraceReceiver]:
    """Start one that never answers."""
    with TraceReceiver(silent=True) as found:
        yield found
