"""Django's WSGI application, with bodies whose length nothing announces, and bounds on bodies.

With ``Transfer-Encoding: chunked`` (curl from a pipe, a proxy that doesn't buffer requests) there
is no Content-Length, and Django takes the body for empty:
https://code.djangoproject.com/ticket/35838.
"""

from __future__ import annotations

import errno
import sys
from http import HTTPStatus
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import LimitedStream, WSGIHandler, WSGIRequest
from django.http import UnreadablePostError


class Request(WSGIRequest):
    """A request whose body ends where its stream ends, if the server vouches for that.

    Django's limits hold: what is kept in memory is counted while it is read. Files are not, with or
    without a length; their upload handlers count.

    :ivar body_refused: the status for a body that could not be read; durable/web/bodies.py answers.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        self.body_refused: HTTPStatus | None = None
        self._bound = 0
        # As gunicorn sets it; https://github.com/benoitc/gunicorn/issues/1653.
        self._is_terminated = bool(
            environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH")
        )
        if self._is_terminated:
            self._stream: Any = LimitedStream(environ["wsgi.input"], sys.maxsize)

    def bound_body(self, limit: int) -> None:
        """Read no more than *limit* bytes of a body whose length isn't announced."""
        if self._is_terminated:
            self._bound = limit
            self._stream = _Bounded(self, limit)

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Read of the body; note why it can't be read."""
        try:
            return super().read(*args, **kwargs)
        except UnreadablePostError:
            self.body_refused = HTTPStatus.REQUEST_TIMEOUT
            raise

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803
        """Read a form; one of unknown length is no reason to keep its files in memory."""
        meta = META
        if self._is_terminated:
            size = self._bound or settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1
            meta = {**META, "CONTENT_LENGTH": str(size)}
        try:
            return super().parse_file_upload(meta, post_data)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:  # of the folder for temporary files
                self.body_refused = HTTPStatus.INSUFFICIENT_STORAGE
            raise


class _Bounded(LimitedStream):
    """The stream of a body, which must not be longer than it may be."""

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.environ["wsgi.input"], limit + 1)
        self._request = request
        self._left = limit

    def read(self, size: int | None = -1, /) -> bytes:
        return self._count(super().read(-1 if size is None else size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._count(super().readline(-1 if size is None else size))

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            self._request.body_refused = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise RequestDataTooBig("The request is larger than it may be here.")
        return data


class Handler(WSGIHandler):
    """Django's handler with requests as above."""

    request_class = Request


def get_wsgi_application() -> Handler:
    """Return the application, as the function of this name in :mod:`django.core.wsgi` does."""
    django.setup(set_prefix=False)
    return Handler()
