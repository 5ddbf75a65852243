"""The spans: of requests, of calls, of attempts, and of the queries of each.

Names and attributes are those of OpenTelemetry's conventions. An attempt is a child of the call
that wrote its row, whichever process makes it: the row's headers have a ``traceparent``, as a
message has. A retry keeps its row's, so all attempts of a task are children of one call; the next
task of a chain is called by the attempt before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import signals, states
from django.db import connections
from django.db.backends.signals import connection_created
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import carry
from .provider import tracer

#: The header of a row or a message.
TRACEPARENT = "traceparent"
#: Characters of a statement that a span has.
STATEMENT = 2_000
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

_propagator = TraceContextTextMapPropagator()
#: The attribute of Celery's request that holds the span of its attempt, and what ends its context.
_NAME = "durable_span"


def install() -> None:
    """Make spans from here on."""
    signals.task_prerun.connect(_begin)
    signals.task_postrun.connect(_end)
    connection_created.connect(_watch)
    for connection in connections.all(initialized_only=True):
        _watch(connection)
    carry.call, carry.ids = call, ids


@contextmanager
def _span(name: str, kind: SpanKind, attributes: dict[str, Any]) -> Iterator[Span]:
    """A span in the current one; of an error it has the class: its text may hold an argument."""
    with tracer().start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False,
        set_status_on_exception=False,
    ) as span:  # fmt: skip
        try:
            yield span
        except BaseException as error:
            _failed(span, error)
            raise


def _failed(span: Span, error: BaseException | None) -> None:
    span.set_status(Status(StatusCode.ERROR))
    if error is not None:
        kind = type(error)
        span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")


# --- Requests ------------------------------------------------------------------------------------


@contextmanager
def request(asked: Any) -> Iterator[Span]:
    """The span of a request, in the trace of its ``traceparent``, if it has one."""
    came = {name: asked.headers[name] for name in _propagator.fields if name in asked.headers}
    token = context.attach(_propagator.extract(came))
    method = asked.method if asked.method in METHODS else "_OTHER"
    attributes = {"http.request.method": method, "url.scheme": asked.scheme}
    if request_id := getattr(asked, "request_id", None):
        attributes["request_id"] = request_id
    try:
        with _span(method, SpanKind.SERVER, attributes) as span:
            yield span
    finally:
        context.detach(token)


def answered(span: Span, asked: Any, status: int) -> None:
    """Name a request's span by its route: its path may hold a token."""
    if (match := getattr(asked, "resolver_match", None)) and match.route is not None:
        route = f"/{match.route}"
        span.update_name(f"{asked.method} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


# --- Calls and attempts --------------------------------------------------------------------------


@contextmanager
def call(task: Any, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The span of a call; yield its options with the trace among the headers.

    One that is there already stays: that of a retry, or of a message that is sent again.
    """
    headers = options.get("headers") or {}
    if TRACEPARENT in headers:
        yield options
        return
    attributes = {"messaging.system": "celery", "messaging.operation.type": "send",
                  "celery.task": task.name}  # fmt: skip
    with _span(f"send {task.name}", SpanKind.PRODUCER, attributes):
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        if isinstance(inner := headers.get("headers"), dict):
            # Sentry's, which hide those outside from the task (celery#4875).
            headers = {**headers, "headers": {**inner, **carrier}}
        yield {**options, "headers": {**headers, **carrier}}


def _begin(task_id: str, task: Any, **kwargs: Any) -> None:
    request = task.request
    headers, delivery = request.headers or {}, request.delivery_info or {}
    # Without a header, an eager task runs in what called it; another one in nothing.
    parent = None if request.is_eager and TRACEPARENT not in headers else Context()
    parent = _propagator.extract(headers, context=parent)
    attributes = {
        "messaging.system": "celery", "messaging.operation.type": "process",
        "messaging.message.id": task_id, "celery.task": task.name,
        "messaging.destination.name": delivery.get("routing_key") or "",
        "celery.retries": request.retries or 0,
    }  # fmt: skip
    span = tracer().start_span(f"process {task.name}", parent, SpanKind.CONSUMER, attributes)
    setattr(request, _NAME, (span, context.attach(trace.set_span_in_context(span, parent))))


def _end(task: Any, state: str | None = None, retval: Any = None, **kwargs: Any) -> None:
    found = task.request.__dict__.pop(_NAME, None)
    if found is None:
        return
    span, token = found
    context.detach(token)
    span.set_attribute("celery.state", str(state))
    if state == states.FAILURE:
        _failed(span, retval if isinstance(retval, BaseException) else None)
    span.end()


# --- Queries -------------------------------------------------------------------------------------


def _watch(connection: Any, **kwargs: Any) -> None:
    if _query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_query)


def _query(execute: Callable[..., Any], sql: Any, params: Any, many: bool, about: Any) -> Any:
    """Run a statement, in a span if it is part of a trace; its values stay out of that."""
    if not trace.get_current_span().is_recording():
        return execute(sql, params, many, about)
    text = " ".join(sql.split()) if isinstance(sql, str) else type(sql).__name__
    operation = text.partition(" ")[0].upper()
    attributes = {
        "db.system.name": "postgresql", "db.operation.name": operation,
        "db.query.text": text[:STATEMENT],
        "db.namespace": str(about["connection"].settings_dict["NAME"]),
    }  # fmt: skip
    with _span(operation, SpanKind.CLIENT, attributes):
        return execute(sql, params, many, about)


def ids() -> dict[str, str]:
    """Return the ids of the current trace and span, for a log line."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(current.trace_id),
        "span_id": trace.format_span_id(current.span_id),
    }
