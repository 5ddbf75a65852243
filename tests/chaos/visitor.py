"""A visitor: sends one request after another, on a connection of its own."""

from __future__ import annotations

import contextlib
import http.client
import select
from collections.abc import Iterable, Mapping

#: Seconds until a visitor gives up on an answer.
TIMEOUT = 20.0


class Visitor:
    """Opens a connection for each request, or keeps one alive as proxies and HTTP pools do.

    A kept connection that the server has closed meanwhile is not used again: urllib3, nginx and Go
    look before they send, too. One that is closed at the moment of sending is a failed request.
    """

    def __init__(
        self,
        host: str,
        port: int,
        headers: Mapping[str, str],
        *,
        keep_alive: bool,
        timeout: float = TIMEOUT,
    ) -> None:
        self.keep_alive = keep_alive
        self.headers = headers
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def request(
        self, method: str, path: str, body: str | Iterable[bytes] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer; a *body* in pieces is sent without a length.

        :raises OSError, http.client.HTTPException: there was none.
        """
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if not self.keep_alive:
            headers["Connection"] = "close"
        if self._was_closed():
            self._connection.close()
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._connection.close()
            raise
        finally:
            if not self.keep_alive:
                self._connection.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _was_closed(self) -> bool:
        """Return whether the server has said something unasked: that it closes."""
        sock = self._connection.sock
        if sock is None:
            return False
        with contextlib.suppress(OSError, ValueError):
            return bool(select.select([sock], [], [], 0)[0])
        return True
