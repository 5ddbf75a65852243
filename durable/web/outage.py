"""The answer of every page to an error of the database that is none of the code's.

Who comes while it restarts waits for a connection (durable/database/postgresql). A request that had
one and only reads is answered anew, once, and waits too. One that writes gets an error: whether it
was done is its caller's to see.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.encoding import escape_uri_path
from django.views.defaults import bad_request
from psycopg_pool import PoolTimeout

from durable.database.outage import is_outage, lost_database
from durable.database.text import is_unstorable

logger = logging.getLogger(__name__)

#: In the META of a request that was cut off: whether it is to be answered anew.
CUT_OFF = "durable.database.cut_off"


class DatabaseErrors:
    """Answers for an error of the database that is none of the code's, which stays a 500."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.META.get(CUT_OFF):
            connections[DEFAULT_DB_ALIAS].close()
            response = self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return 503 while the database is away, 400 for a text that it can't hold.

        Visitors and proxies may try the first one again. The page needs no database itself.
        """
        return answer_to(request, exception)


def answer_anew_if_cut_off(request: HttpRequest, error: Exception) -> None:
    """Mark what only reads and whose connection was there before *error*: it may be so again."""
    waited = isinstance(error.__cause__, PoolTimeout)
    if request.method in {"GET", "HEAD"} and lost_database(error, DEFAULT_DB_ALIAS) and not waited:
        request.META[CUT_OFF] = CUT_OFF not in request.META  # once


def answer_to(request: HttpRequest, exception: Exception) -> HttpResponse | None:
    """Return the same for a middleware, whose errors Django shows to no other."""
    if is_unstorable(exception):
        # Django's forms refuse NUL; the admin's filters and the session's cookie don't.
        logger.warning("%s %s: %s", request.method, escape_uri_path(request.path), exception)
        return bad_request(request, exception)
    if not is_outage(exception):
        return None
    answer_anew_if_cut_off(request, exception)
    logger.error("%s %s: %s", request.method, escape_uri_path(request.path), exception)
    return HttpResponse(_page(), status=503, headers={"Retry-After": "5"})


def _page() -> str:
    try:
        # Without the request: the page's head would look up who is signed in.
        return loader.get_template("503.html").render()
    except TemplateDoesNotExist:  # as Django's own pages of errors, it has one if no project has
        return "<h1>Unavailable</h1><p>The database does not answer. Try again in a moment.</p>"
