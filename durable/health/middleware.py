"""Answers the probes before any other middleware runs.

They must work with any Host header (a kubelet sends the pod's address), without a session, without
a redirect to HTTPS, and without the database connection of the request's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse

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
        answer = {"/livez": self.livez, "/readyz": self.readyz}.get(request.path_info)
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

    def readyz(self) -> HttpResponse:
        """Tell each part's state; 503 takes the process out of service until all are ``ok``.

        Before a stop (docker/drain) that is so too, while everything else is answered as before.
        """
        if (folder() / "proj-web.draining").exists():
            return JsonResponse({"status": "draining"}, status=503)
        checks = self.code.check() | self.readiness.check()
        ready = all(state == "ok" for state in checks.values())
        body = {"status": "ok" if ready else "unavailable", "checks": checks}
        return JsonResponse(body, status=200 if ready else 503)
