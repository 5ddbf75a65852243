"""The JSON API: every app's ``api.router``, with errors as RFC 9457 problem details."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.openapi.docs import Swagger

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"


class Problem(Schema):
    """An error as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""


def problem(
    status: int, title: str, detail: str = "", headers: dict[str, str] | None = None, **members: Any
) -> HttpResponse:
    """Build a problem response; *members* are the extension members of RFC 9457, section 3.2."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON, headers=headers)


class ProblemError(Exception):
    """Raised in a view to answer with a problem."""

    def __init__(self, status: int, title: str, detail: str = "", **members: Any) -> None:
        super().__init__(detail or title)
        self.response_args = {"status": status, "title": title, "detail": detail, **members}


api = NinjaAPI(
    title="proj",
    version="1.0.0",
    description="Upload a CSV file, watch workers profile it, fetch the report.",
    docs=Swagger(settings={"persistAuthorization": False}),
)


@api.exception_handler(ProblemError)
def _problem(request: HttpRequest, error: ProblemError) -> HttpResponse:
    return problem(**error.response_args)


@api.exception_handler(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(
        401,
        "Not authenticated",
        "Send a token from POST /api/token as `Authorization: Bearer <token>`.",
        headers={"WWW-Authenticate": "Bearer"},
    )


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {"pointer": "/".join(str(part) for part in item["loc"]), "detail": item["msg"]}
        for item in error.errors
    ]
    return problem(422, "The request is not valid", errors[0]["detail"], errors=errors)


@api.exception_handler(Throttled)
def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    headers = {"Retry-After": str(int(error.wait) + 1)} if error.wait else None
    return problem(429, "Too many requests", "Try again later.", headers=headers)


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, "Not found", str(error))


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, str(error))


@api.exception_handler(Exception)
def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.exception("%s %s failed", request.method, request.path)
    return problem(500, "The server failed", "The error is in the log of the web role.")


for _config in apps.get_app_configs():
    if _config.name.startswith("apps.") and find_spec(f"{_config.name}.api"):
        api.add_router("", import_module(f"{_config.name}.api").router)
