"""Limits on a request's body, before any of it is read.

Django keeps a form's files in memory or writes them to temporary files before the view can ask who
sends them: its CSRF check reads the form. So bodies beyond ``DATA_UPLOAD_MAX_MEMORY_SIZE`` are for
the views that ``UPLOAD_VIEWS`` names (``"app:name"``), and there for people who are logged in; a
view that is exempt from the CSRF check looks for itself who it is, before it reads the body.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils.encoding import escape_uri_path

from .problems import PROBLEM_JSON, problem

logger = logging.getLogger(__name__)

#: An answer to each body that could not be read: its status, and what a person may do.
WORDS = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is larger than it may be here.",
    HTTPStatus.REQUEST_TIMEOUT: "The request came too slowly, or ended before its body did.",
    HTTPStatus.INSUFFICIENT_STORAGE: (
        "The server has no room for this file at the moment. Try again later."
    ),
}


class BodyLimits:
    """Refuses large bodies where none is expected, and answers for those that broke off.

    Stands before CsrfViewMiddleware, and after ``durable.web.problems.ApiProblems``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if refused := self.refuse_large(request):
            return refused
        response = self.get_response(request)
        status = getattr(request, "body_refused", None)
        told = response.headers.get("Content-Type", "").startswith(PROBLEM_JSON)
        if status is None or told or response.status_code < 400:
            return response
        response.close()
        return refusal(request, status)

    def refuse_large(self, request: HttpRequest) -> HttpResponse | None:
        """Refuse the request, or bound what will be read of it, unless its view takes files."""
        limit, size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, announced(request)
        if (0 <= size <= limit) or _takes_files(request):
            return None
        if size > limit:
            logger.warning(
                "%s %s: a body of %d bytes was refused, and DATA_UPLOAD_MAX_MEMORY_SIZE is %d; "
                "a view that takes files stands in UPLOAD_VIEWS by its name",
                request.method,
                escape_uri_path(request.path),
                size,
                limit,
            )
            return refusal(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if bound := getattr(request, "bound_body", None):
            bound(limit)
        return None

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Send a stranger to log in before the CSRF check reads the file."""
        limit, size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE, announced(request)
        if (0 <= size <= limit) or getattr(view, "csrf_exempt", False):
            return None
        if not _takes_files(request) or request.user.is_authenticated:
            return None
        return redirect_to_login(request.get_full_path())

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for a disk that is full, wherever a view wrote the file to."""
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            logger.error("%s %s: %s", request.method, escape_uri_path(request.path), error)
            return refusal(request, HTTPStatus.INSUFFICIENT_STORAGE)
        return None


def _takes_files(request: HttpRequest) -> bool:
    try:
        return resolve(request.path_info).view_name in getattr(settings, "UPLOAD_VIEWS", ())
    except Resolver404:
        return False


def announced(request: HttpRequest) -> int:
    """Return the bytes that the request says its body has, or -1 if it has one and doesn't say."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        return int(length)
    return -1 if "Transfer-Encoding" in request.headers else 0


def refusal(request: HttpRequest, status: HTTPStatus) -> HttpResponse:
    """Return the answer to a body that can't be taken."""
    if request.path_info.startswith("/api/"):
        return problem(status, detail=WORDS[status])
    return HttpResponse(f"{WORDS[status]}\n", status=status, content_type="text/plain")
