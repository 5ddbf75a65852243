"""A client of the JSON API that sends a file while it is produced."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

BOUNDARY = "reports-bench-boundary"


class ApiClient:
    """Talks to the web role at *address* (host:port) as one user."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self.address = address
        body = json.dumps({"username": username, "password": password}).encode()
        answer = self._ask("POST", "/api/token", body, {"Content-Type": "application/json"}, 200)
        self._auth = {"Authorization": f"Bearer {answer['token']}"}

    def upload(self, pieces: Iterable[bytes], size: int) -> str:
        """Send a file of *size* bytes; return the path of its report."""
        disposition = 'Content-Disposition: form-data; name="file"; filename="bench.csv"'
        head = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            yield from pieces
            yield tail

        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        answer = self._ask("POST", "/api/reports", body(), {**headers, **self._auth}, 202)
        return str(answer["status_url"]).removeprefix(f"http://{self.address}")

    def wait(self, path: str, seconds: float = 600) -> dict[str, Any]:
        """Return the report at *path* when it is finished."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            report = self._ask("GET", path, None, self._auth, 200)
            if report["state"] in {"done", "failed"}:
                return report
            time.sleep(0.1)
        raise TimeoutError(f"{path} is not finished after {seconds:.0f} s")

    def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str], expected: int
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=600)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != expected:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        result: dict[str, Any] = json.loads(text)
        return result
