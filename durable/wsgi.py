"""Django's WSGI application, which also takes a body whose length nothing announces.

With ``Transfer-Encoding: chunked`` (curl from a pipe, a proxy that doesn't buffer requests) there
is no Content-Length, and Django takes the body for empty:
https://code.djangoproject.com/ticket/35838.
"""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import LimitedStream, WSGIHandler, WSGIRequest


class Request(WSGIRequest):
    """A request whose body ends where its stream ends, if the server vouches for that.

    Django's limits hold: what is kept in memory is counted while it is read. Files are not, with or
    without a length; their upload handlers count.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        # As gunicorn sets it; https://github.com/benoitc/gunicorn/issues/1653.
        self._is_terminated = bool(
            environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH")
        )
        if self._is_terminated:
            self._stream: Any = LimitedStream(environ["wsgi.input"], sys.maxsize)

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803
        """Read a form; one of unknown length is no reason to keep its files in memory."""
        meta = META
        if self._is_terminated:
            meta = {**META, "CONTENT_LENGTH": str(settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1)}
        return super().parse_file_upload(meta, post_data)


class Handler(WSGIHandler):
    """Django's handler with requests as above."""

    request_class = Request


def get_wsgi_application() -> Handler:
    """Return the application, as the function of this name in :mod:`django.core.wsgi` does."""
    django.setup(set_prefix=False)
    return Handler()
