"""Answers the probes before any other middleware runs.

They must work with any Host header (a kubelet sends the pod's address), without a session, without
a redirect to HTTPS, and without the database connection of the request's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

from durable.client_address import came_by_a_proxy

from .code import Code
from .heartbeat import folder
from .readiness import Readiness


class ProbeMiddleware:
    """Answers ``/livez`` (the process answers) and ``/readyz`` (it can serve); GET and HEAD."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.code = Code()
        self.readiness = Readiness()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answers: dict[str, Callable[[], HttpResponse]]
        answers = {"/livez": self.livez, "/readyz": lambda: self.readyz(is_near(request))}
        answer = answers.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = answer()
        response["Cache-Control"] = "no-store"
        if request.method == "HEAD":
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        return response

    def livez(self) -> HttpResponse:
        """Touch nothing: a process must not be restarted because something else is down."""
        return HttpResponse("ok\n", content_type="text/plain")

    def readyz(self, detailed: bool) -> HttpResponse:
        """Answer 503, which takes the process out of service, until each part's state is ``ok``.

        Before a stop (docker/drain) that is so too, while everything else is answered as before.
        """
        if (folder() / "proj-web.draining").exists():
            return JsonResponse({"status": "draining"}, status=503)
        checks = self.code.check() | self.readiness.check()
        ready = all(state == "ok" for state in checks.values())
        body: dict[str, object] = {"status": "ok" if ready else "unavailable"}
        if detailed:
            body["checks"] = checks
        return JsonResponse(body, status=200 if ready else 503)


def is_near(request: HttpRequest) -> bool:
    """Return whether the request comes from a private address, and through no proxy."""
    if came_by_a_proxy(request):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_private
    except ValueError:  # a socket of this machine
        return not request.META.get("REMOTE_ADDR")
