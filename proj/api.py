"""The JSON API: every app's ``api.router``, with errors as RFC 9457 problem details."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema

from durable.database.retry import is_away
from durable.database.text import is_unstorable
from durable.discovery import modules

from .problems import PROBLEM_JSON, ProblemError, problem

logger = logging.getLogger(__name__)


class Api(NinjaAPI):
    """Ninja's API, whose errors are documented with the media type that they have."""

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
        return response


api = Api(
    title="proj",
    version="1.0.0",
    urls_namespace="api",  # else the version is part of every URL's name
    description="Errors are problem details as RFC 9457 has them.",
    docs=Swagger(settings={"persistAuthorization": False, "defaultModelsExpandDepth": 0}),
)


@api.exception_handler(ProblemError)
def _problem(request: HttpRequest, error: ProblemError) -> HttpResponse:
    return error.response()


@api.exception_handler(AuthenticationError)
def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(
        401,
        "Not authenticated",
        "Send a token from POST /api/token as `Authorization: Bearer <token>`.",
    )


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {"pointer": "/".join(str(part) for part in item["loc"]), "detail": item["msg"]}
        for item in error.errors
    ]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors)
    return problem(422, "The request is not valid", detail, errors=errors)


@api.exception_handler(Throttled)
def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    seconds = int(error.wait or 0) + 1
    return problem(
        429,
        "Too many requests",
        f"Try again in {seconds} seconds.",
        headers={"Retry-After": str(seconds)},
    )


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, detail=str(error))


@api.exception_handler(RequestDataTooBig)
def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem(413, detail="Only a file may be as large as that.")


@api.exception_handler(SuspiciousOperation)
@api.exception_handler(MultiPartParserError)
def _bad_request(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(400, detail=str(error))


@api.exception_handler(UnreadablePostError)
def _hung_up(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    return problem(400, detail="The request ended before its body did.")


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(error.status_code, detail=str(error))


def _no_database(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("%s %s: no answer from the database", request.method, request.path, exc_info=error)
    return problem(
        503,
        detail="The database does not answer. Try again in a moment.",
        headers={"Retry-After": "10"},
    )


@api.exception_handler(Exception)
def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    if is_away(error):
        return _no_database(request, error)
    if is_unstorable(error):
        return problem(400, detail="A text holds a character that can't be stored, such as NUL.")
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The server failed", "The error is in the log of the web role.")


@csrf_exempt
def no_such_path(request: HttpRequest, path: str) -> HttpResponse:
    """Answer what no router does, with a problem instead of a page."""
    return problem(404, detail=f"There is no /api/{path}; /api/docs lists what there is.")


for _module in modules("api"):
    if hasattr(_module, "router"):
        api.add_router("", _module.router)
