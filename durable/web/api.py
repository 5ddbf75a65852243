"""Ninja's API with errors as RFC 9457 problem details, an outage of the database among them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.encoding import escape_uri_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, Throttled, ValidationError
from ninja.openapi.schema import OpenAPISchema

from durable.database.outage import is_outage
from durable.database.text import is_unstorable

from .outage import answer_anew_if_cut_off
from .problems import AS_A_FILE, PROBLEM_JSON, ProblemError, problem

logger = logging.getLogger(__name__)


def _problem(request: HttpRequest, error: ProblemError) -> HttpResponse:
    return error.response()


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {"pointer": "/".join(str(part) for part in item["loc"]), "detail": item["msg"]}
        for item in error.errors
    ]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors)
    return problem(422, "The request is not valid", detail, errors=errors)


def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    seconds = int(error.wait or 0) + 1
    return problem(
        429,
        "Too many requests",
        f"Try again in {seconds} seconds.",
        headers={"Retry-After": str(seconds)},
    )


def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, detail=str(error))


def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem(413, detail="Only a file may be as large as that.")


def _bad_request(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(400, detail=str(error))


def _hung_up(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    return problem(400, detail="The request ended before its body did.")


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, detail=str(error))


def _no_database(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error(
        "%s %s: no answer from the database",
        request.method,
        escape_uri_path(request.path),
        exc_info=error,
    )
    return problem(
        503,
        detail="The database does not answer. Try again in a moment.",
        headers={"Retry-After": "10"},
    )


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    if is_outage(error):
        answer_anew_if_cut_off(request, error)
        return _no_database(request, error)
    if is_unstorable(error):
        return problem(400, detail="A text holds a character that can't be stored, such as NUL.")
    logger.error("%s %s failed", request.method, escape_uri_path(request.path), exc_info=error)
    return problem(500, "The server failed", "The error is in the log of the web role.")


#: The answer to each kind of error.
ANSWERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    ProblemError: _problem,
    ValidationError: _invalid,
    Throttled: _throttled,
    Http404: _not_found,
    RequestDataTooBig: _too_big,
    SuspiciousOperation: _bad_request,
    MultiPartParserError: _bad_request,
    UnreadablePostError: _hung_up,
    HttpError: _http_error,
    Exception: _failed,
}


class Api(NinjaAPI):
    """Ninja's API, whose errors are problems, and documented with the media type that they have.

    A project's own handler for one of them replaces it: ``@api.exception_handler(Error)``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for error, answer in ANSWERS.items():
            self.add_exception_handler(error, answer)

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400 and "content" in response:
                        (content,) = response["content"].values()
                        response["content"] = {PROBLEM_JSON: content}
        return schema

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        response = super().create_temporal_response(request)
        response["Cache-Control"] = "no-store"  # answers are one user's own, and change
        response["Content-Disposition"] = AS_A_FILE
        return response


@csrf_exempt
def no_such_path(request: HttpRequest, path: str) -> HttpResponse:
    """Answer what no router does, with a problem instead of a page."""
    return problem(404, detail=f"There is no /api/{path}; /api/docs lists what there is.")
