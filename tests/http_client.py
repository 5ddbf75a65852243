"""A visitor and an API client in a few lines, for stacks that run outside of the tests' process."""

from __future__ import annotations

import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any


@dataclass
class Answer:
    """What a server said."""

    status: int
    text: str
    headers: Any

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.text)


class Visitor:
    """Keeps cookies as a browser does, and a token as an API client does."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", headers: Mapping[str, str] | None = None
    ) -> None:
        """:param headers: what every request carries, as a proxy adds it."""
        self.base = f"http://{host}:{port}"
        self.headers = dict(headers or {})
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def request(
        self, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> Answer:
        """Ask for *path* (or a whole URL), by POST when there is a *body*.

        One in pieces is sent without a length (``Transfer-Encoding: chunked``).
        """
        url = urllib.parse.urljoin(self.base, path)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, {**self.headers, **named})
        try:
            with self._opener.open(request, timeout=120) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(), error.headers)

    def ask_for_link(self, mailbox: str) -> Answer:
        """Fill in the first form of the sign-up."""
        return self.fill_in("/accounts/signup/", email=mailbox)

    def sign_up(self, link: str, username: str, password: str) -> Answer:
        """Fill in the form behind the link of the mail."""
        path = urllib.parse.urlsplit(link).path
        return self.fill_in(path, username=username, password1=password, password2=password)

    def fill_in(self, path: str, **fields: str) -> Answer:
        """Get the form at *path*, and post it."""
        page = self.request(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        fields["csrfmiddlewaretoken"] = token[1]
        return self.request(path, urllib.parse.urlencode(fields).encode())

    def log_in(self, username: str, password: str) -> None:
        """Get a token, and send it from now on."""
        body = json.dumps({"username": username, "password": password}).encode()
        answer = self.request("/api/token", body, Content_Type="application/json")
        assert answer.status == 200, answer.text
        self.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def upload(self, name: str, content: bytes) -> Answer:
        """Post a file to the API, as the multipart field ``file``."""
        boundary = secrets.token_hex(16)
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: text/csv\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return self.request("/api/reports", body, Content_Type=kind)
