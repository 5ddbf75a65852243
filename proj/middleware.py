"""Every error of the JSON API is a problem, also one that comes from before or behind its views."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from .problems import PROBLEM_JSON, problem

#: What an error says beside its body.
KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


class ApiProblems:
    """Turns Django's and Ninja's own errors below ``/api/`` into RFC 9457 problem details.

    A wrong method, a wrong host, what a middleware refuses: their bodies are HTML or plain text.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if (
            response.status_code < 400
            or not request.path_info.startswith("/api/")
            or response.headers.get("Content-Type", "").startswith(PROBLEM_JSON)
        ):
            return response
        kept = {name: response.headers[name] for name in KEPT if name in response.headers}
        detail = ""
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"{request.method} is not allowed here, but {kept.get('Allow', 'nothing')}."
        response.close()
        return problem(response.status_code, detail=detail, headers=kept)
