"""What visitors are told when something is wrong that no view can know of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.defaults import bad_request

from durable.database.retry import is_away
from durable.database.text import is_unstorable

from .problems import PROBLEM_JSON, problem

logger = logging.getLogger(__name__)

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


class DatabaseErrors:
    """Answers for an error of the database that is none of the code's, which stays a 500."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return 503 while the database is away, 400 for a text that it can't hold.

        Visitors and proxies may try the first one again. The page needs no database itself.
        """
        if is_unstorable(exception):
            # Django's forms refuse NUL; the admin's filters and the session's cookie don't.
            logger.warning("%s %s: %s", request.method, request.path, exception)
            return bad_request(request, exception)
        if not is_away(exception):
            return None
        logger.error("%s %s: %s", request.method, request.path, exception)
        # Without the request: the page's head would look up who is signed in.
        page = loader.get_template("503.html").render()
        return HttpResponse(page, status=503, headers={"Retry-After": "5"})
