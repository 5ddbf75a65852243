"""Gives each request an id, which its log lines, its answer and the tasks that it calls carry."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

from .context import bind, current, sane, unbind

HEADER = "X-Request-ID"


class RequestIdMiddleware:
    """Takes the id of a proxy in front, or makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = sane(request.headers.get(HEADER)) or uuid4().hex
        # Django logs a 404 after the last middleware has returned; it names the request then.
        request.request_id = request_id  # type: ignore[attr-defined]
        before, answers = bind(request_id=request_id), current.set(request)
        try:
            response = self.get_response(request)
        finally:
            unbind(before)
            current.reset(answers)
        response[HEADER] = request_id
        return response
