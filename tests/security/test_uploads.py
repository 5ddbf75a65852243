"""Attacks on the example's uploads and links; these go with it."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from django.contrib.auth.models import User

from apps.reports.models import Report
from durable.accounts.tokens import create_token
from tests.fixtures_worker import wait_for
from tests.http_client import Answer, Visitor

from .conftest import Web, received
from .test_bodies import FILE, MB, answer_to, head, status_of_endless


@pytest.fixture
def member(web: Web) -> Visitor:
    """Give a client with the token of somebody who has an account."""
    user = User.objects.create_user("member", password="a-long-password")
    return web.visitor(Authorization=f"Bearer {create_token(user)}")


def upload(member: Visitor) -> bytes:
    """Return the beginning of an upload that says it is large."""
    return (
        b"POST /api/reports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
        b"Authorization: " + member.headers["Authorization"].encode() + b"\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
        b'form-data; name="file"; filename="a.csv"\r\n\r\na,b\r\n'
    )


def uploaded(member: Visitor, name: str, content: bytes) -> Answer:
    """Return the answer to an upload, once the thread of the one before is free."""

    def answer() -> Answer | None:
        found = member.upload(name, content)
        return None if found.status == 503 else found

    found = wait_for(answer, f"{name} is not one too many")
    assert found
    return found


@pytest.mark.parametrize(("path", "status"), [("/", 302), ("/api/reports", 401)])
def test_a_view_that_takes_files_reads_none_of_a_strangers(
    web: Web, path: str, status: int
) -> None:
    answer = answer_to(web, head(path, 80 * MB) + FILE)
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer


@pytest.mark.parametrize("path", ["/", "/api/token"])
def test_a_body_of_unknown_length_reaches_no_file(web: Web, path: str) -> None:
    assert status_of_endless(web, path) in {302, 400, 413}


def test_slow_uploads_get_half_of_the_threads(web: Web, member: Visitor) -> None:
    first = web.connect(upload(member))

    def refusal() -> bytes:
        answer = web.ask(upload(member))
        return answer if answer.startswith(b"HTTP/1.1 503") else b""

    assert b"\r\nRetry-After: 5\r\n" in wait_for(refusal, "the next one is refused")
    assert web.visitor().request("/").status == 200
    assert b" 400 " in received(first) or b" 408 " in received(first)
    assert member.request("/api/reports").json()["count"] == 0


def test_a_name_that_a_proxy_did_not_vouch_for_is_in_no_link(web: Web, member: Visitor) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Server": "evil.example"}
    member.headers.update(headers)
    answer = uploaded(member, "a.csv", b"a,b\n1,2\n")
    assert answer.json()["status_url"].startswith(f"http://127.0.0.1:{web.port}/")


def bombs() -> dict[str, bytes]:
    """Return files that are larger, or more work, than they look."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", b"0" * 5_000_000)
    return {
        "zip": archive.getvalue(),
        "gzip": gzip.compress(b"a,b\n" * 1_000_000),
        "columns": b"a," * 100_000 + b"a\n",
        "record": b"a,b\n1," + b"x" * 2_000_000 + b"\n",
        "quote": b'a,b\n"' + b"x\n" * 600_000,
    }


def test_files_that_grow_are_refused(web: Web, member: Visitor) -> None:
    for name, content in bombs().items():
        answer = uploaded(member, f"{name}.csv", content)
        assert answer.status in {415, 422}, (name, answer.text)
    assert not Report.objects.exists()
