"""Answers that gunicorn gives itself, without Django; and what its name adds to all others."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

#: What each answer has, whichever part of the server gives it.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def refusal(status: int, why: str) -> bytes:
    """Return a whole answer, after which the connection ends."""
    body = f"{why}\n".encode()
    headers = {
        "Date": formatdate(usegmt=True),
        "Connection": "close",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        **HEADERS,
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


#: Bytes of a file that are read at once; Django and WhiteNoise would have 4,096.
PIECE = 128 * 1024


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response without its name, and with files in large pieces."""

    def default_headers(self) -> list[str]:
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def write_file(self, respiter: Any) -> None:
        """Send what is left of a file."""
        while data := respiter.filelike.read(PIECE):
            self.write(data)


def _write_error(client: Any, status: int, reason: str, message: str) -> None:
    client.sendall(refusal(status, message or reason))


def install() -> None:
    """Replace what has no setting: the name in each answer, and the answer to a broken request."""
    wsgi.Response = Response
    util.write_error = _write_error
