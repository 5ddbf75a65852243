"""Errors of the JSON API as RFC 9457 problem details, those of Django and Ninja too."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Schema
from pydantic import Field

PROBLEM_JSON = "application/problem+json"

#: A browser that is led to JSON shows none of it as a page (ASVS 14.4.2).
AS_A_FILE = 'attachment; filename="api.json"'

#: What an error says beside its body.
KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


class FieldError(Schema):
    """One part of the request that isn't valid."""

    pointer: str = Field(description="Where it stands, e.g. body/credentials/username")
    detail: str


class Problem(Schema):
    """An error as RFC 9457 describes it; the last three are its extension members."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(
        default=None, description="What is not valid in the request"
    )
    code: str | None = Field(default=None, description="What is wrong with a file, for programs")
    line: int | None = Field(default=None, description="The line of the file that is wrong")


class ProblemError(Exception):
    """Raised in a view to answer with a problem; *members* are extension members."""

    def __init__(self, status: int, title: str, detail: str = "", **members: Any) -> None:
        super().__init__(detail or title)
        self.status, self.title, self.detail, self.members = status, title, detail, members

    def response(self) -> HttpResponse:
        """Return the answer."""
        return problem(self.status, self.title, self.detail, **self.members)


def problem(
    status: int,
    title: str = "",
    detail: str = "",
    headers: dict[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """Build a problem response; *members* are the extension members of RFC 9457, section 3.2."""
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": AS_A_FILE,
        **(headers or {}),
    }
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 wants one with every 401
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON, headers=headers)


def problems(*statuses: int) -> dict[int, type[Problem]]:
    """Declare that an operation answers with a problem for each of *statuses*."""
    return dict.fromkeys(statuses, Problem)


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
