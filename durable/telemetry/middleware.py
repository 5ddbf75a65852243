"""Gives each request a span; without OpenTelemetry there is no such middleware."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from . import conf


class TraceMiddleware:
    """The span of a request: what follows in the settings' list is inside of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not conf.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            raise MiddlewareNotUsed
        from . import spans

        self.get_response, self.spans = get_response, spans

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with self.spans.request(request) as span:
            response = self.get_response(request)
            self.spans.answered(span, request, response.status_code)
        return response
