"""The security headers of every answer, those of middlewares, probes and errors too."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

#: For an answer that isn't a page: it loads nothing, and no page shows it in a frame.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"


class SecurityHeaders:
    """Adds what SecurityMiddleware and its like would, to answers that never reach them.

    The redirect to HTTPS stays with them: probes come by HTTP.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.security = SecurityMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.security.process_response(request, self.get_response(request))
        response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)
        response.headers.setdefault("Content-Security-Policy", NO_PAGE)
        if response.has_header("Vary") and "cookie" in response.headers["Vary"].lower():
            # It may be one person's own; a browser that others use after them keeps none of it.
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response
