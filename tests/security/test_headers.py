"""Every answer has the security headers, and none says what serves it."""

from __future__ import annotations

import pytest

from .conftest import Web

HEADERS = (b"X-Content-Type-Options: nosniff", b"X-Frame-Options: DENY", b"Referrer-Policy: ",
           b"Content-Security-Policy: ")  # fmt: skip
END = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /accounts/login/" + END, 200),
        (b"GET /livez" + END, 200),
        (b"GET /readyz" + END, 200),
        (b"POST /readyz" + END, 405),
        (b"GET /metrics" + END, 404),
        (b"GET /static/ninja/swagger-ui.css" + END, 200),
        (b"GET /static/no-such" + END, 404),
        (b"GET /no-such" + END, 404),
        (b"GET /api/no-such" + END, 404),
        (b"GET /" + END.replace(b"localhost", b"evil.example"), 400),
        (b"NO HTTP\r\n\r\n", 400),
        (b"GET /" + END.replace(b"Host", b"Host : x\r\nHost"), 400),
        (b"GET /?" + b"a" * 9000 + END, 414),
        (b"GET /" + END.replace(b"Host", b"X: " + b"a" * 9000 + b"\r\nHost"), 431),
        (b"GET /" + END.replace(b"Host", b"X: " + b"a" * 70_000 + b"\r\nHost"), 431),
        (
            b"POST /"
            + END.replace(b"Host", b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\nHost"),
            400,
        ),
        (
            b"POST /"
            + END.replace(b"Host", b"Content-Length: 9\r\nContent-Length: 8\r\nHost")
            + b"123456789",
            400,
        ),
        (b"POST /admin/login/" + END.replace(b"Host", b"Content-Length: 99999999\r\nHost"), 413),
    ],
    ids=lambda value: value[:24].decode().partition("\r")[0] if isinstance(value, bytes) else None,
)
def test_each_answer_has_the_security_headers(web: Web, request_: bytes, status: int) -> None:
    answer = web.ask(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1, "one request, one answer"
    head = answer.partition(b"\r\n\r\n")[0]
    assert [header for header in HEADERS if b"\r\n" + header not in head] == []
    if b"Cookie" in head.partition(b"\r\nVary:")[2].partition(b"\r\n")[0]:
        assert b"no-store" in head, "another person at the same browser finds none of it"
    assert b"\r\nServer:" not in head
    assert b"gunicorn" not in answer.lower()


def test_readyz_names_its_parts_to_nobody_who_comes_through_a_proxy(web: Web) -> None:
    assert "checks" in web.visitor().request("/readyz").json()
    for header in ("X-Forwarded-For", "Forwarded"):
        answer = web.visitor(**{header: "127.0.0.1"}).request("/readyz")
        assert (answer.status, answer.json()) == (200, {"status": "ok"})
