"""Answers requests for static files: whitenoise those of this version, the database the others."""

from __future__ import annotations

import re

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

from durable.web.outage import answer_to

from .models import File

#: As Django's storage names a file: by the first twelve digits of its hash.
HASHED = re.compile(r"[^/]+\.[0-9a-f]{12}(\.[^./]+)?$")


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """whitenoise's middleware, which knows the files of the last versions too (publish.py)."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        earlier = (
            not self.autorefresh
            and path not in self.files
            and path.startswith(self.static_prefix)
            and HASHED.search(path)
            and request.method in {"GET", "HEAD"}
        )
        response: HttpResponse | None = self.earlier(request) if earlier else None
        return response or super().__call__(request)

    def earlier(self, request: HttpRequest) -> HttpResponse | None:
        """Return a file of another version than this, or nothing."""
        name = request.path_info.removeprefix(self.static_prefix)
        try:
            found = File.objects.filter(name=name).values_list("content", flat=True).first()
        except DatabaseError as error:
            if answer := answer_to(request, error):
                return answer
            raise
        if found is None:
            return None
        headers = {"Cache-Control": f"max-age={self.FOREVER}, public, immutable"}
        kind = self.media_types.get_type(name)
        if kind.startswith("text/"):
            kind = f"{kind}; charset={self.charset}"
        return HttpResponse(bytes(found), content_type=kind, headers=headers)
