"""OpenTelemetry's provider of this process, made at its first span: so after each fork.

Its thread would not be there in a child, and the child would share its parent's connections.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from django.conf import settings
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.util.re import parse_env_headers

from . import conf

logger = logging.getLogger(__name__)

#: Seconds for one delivery and its repetitions; a thread waits for it, no task and no request.
DELIVERY = 5
#: Seconds that the end of a process waits for its last spans.
FLUSH = 2.0

#: Seconds between two lines of the log about a collector that takes nothing.
SAY = 60.0

_lock = threading.Lock()
_ending: _Ending | None = None
_tracer: trace.Tracer | None = None


def tracer() -> trace.Tracer:
    """Return what makes this process' spans."""
    return _tracer or _make()


def _make() -> trace.Tracer:
    global _ending, _tracer
    with _lock:
        if _tracer is None:
            role = getattr(settings, "ROLE", "") or "manage"
            resource = Resource.create({
                "service.name": conf.get("OTEL_SERVICE_NAME") or f"proj-{role}",
                "service.version": getattr(settings, "APP_VERSION", ""),
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            })  # fmt: skip
            share = TraceIdRatioBased(float(conf.get("OTEL_TRACES_SAMPLER_ARG") or 0))
            provider = TracerProvider(ParentBased(share), resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(_exporter()))
            trace.set_tracer_provider(provider)  # for spans of the project's own
            _ending = _Ending(provider)
            atexit.register(flush)
            _tracer = provider.get_tracer(__package__)
        return _tracer


def _exporter() -> OTLPSpanExporter:
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_seldom())
    headers = parse_env_headers(conf.get("OTEL_EXPORTER_OTLP_HEADERS"), liberal=True)
    return OTLPSpanExporter(
        f"{conf.get('OTEL_EXPORTER_OTLP_ENDPOINT')}/v1/traces", headers=headers, timeout=DELIVERY
    )


def _seldom() -> Callable[[logging.LogRecord], bool]:
    """Return a filter; each process delivers every few seconds, and would say so each time."""
    said = float("-inf")

    def passes(record: logging.LogRecord) -> bool:
        nonlocal said
        if time.monotonic() - said < SAY:
            return False
        said = time.monotonic()
        return True

    return passes


class _Ending:
    """Ends a provider by a thread that is there: at the end of a process none can be started."""

    def __init__(self, provider: TracerProvider) -> None:
        self._asked, self._done = threading.Event(), threading.Event()
        threading.Thread(target=self._end, args=(provider,), name="traces", daemon=True).start()

    def _end(self, provider: TracerProvider) -> None:
        self._asked.wait()
        provider.shutdown()
        self._done.set()

    def wait(self) -> None:
        """Deliver what is left, and wait for that, but not for long."""
        self._asked.set()
        self._done.wait(FLUSH)


def flush(**kwargs: Any) -> None:
    """Deliver this process' last spans, as far as that takes no longer than ``FLUSH``."""
    if _ending is not None:
        _ending.wait()


def _forget() -> None:
    global _lock, _ending, _tracer
    _lock, _ending, _tracer = threading.Lock(), None, None


os.register_at_fork(after_in_child=_forget)
# The processes of a pool end without atexit, and so may a worker that has none.
signals.worker_process_shutdown.connect(flush)
signals.worker_shutdown.connect(flush)
