"""Answers `/metrics` before any other middleware runs, as the probes are answered.

A scraper goes to each pod itself, by its address: no Host header that Django would know, no HTTPS.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from prometheus_client import CONTENT_TYPE_LATEST

from durable.client_address import came_by_a_proxy

from .exposition import BusyError, Page

logger = logging.getLogger(__name__)

PATH = "/metrics"


class MetricsMiddleware:
    """Serves the page to requests with METRICS_TOKEN; without that setting there is no page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.page = Page()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != PATH:
            return self.get_response(request)
        # So no Ingress has to know of this path.
        if not _token() or came_by_a_proxy(request):
            return HttpResponse("not found\n", status=404, content_type="text/plain")
        if not _is_authorized(request.headers.get("Authorization", "")):
            refused = HttpResponse("wrong token\n", status=401, content_type="text/plain")
            refused["WWW-Authenticate"] = 'Bearer realm="metrics"'
            return refused
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        response = self._answer()
        response["Cache-Control"] = "no-store"
        return response

    def _answer(self) -> HttpResponse:
        try:
            return HttpResponse(self.page.read(), content_type=CONTENT_TYPE_LATEST)
        except BusyError:
            why = "another scrape is under way"
        except DatabaseError as error:
            # No host and no user in an answer; the log says what it was.
            logger.warning("metrics: the database can't be asked: %s", error)
            why = "the database can't be asked"
        return HttpResponse(f"{why}\n", status=503, content_type="text/plain")


def _token() -> str:
    return str(getattr(settings, "METRICS_TOKEN", ""))


def _is_authorized(header: str) -> bool:
    scheme, _, token = header.partition(" ")
    same = secrets.compare_digest(token.strip().encode(), _token().encode())
    return scheme.lower() == "bearer" and same
