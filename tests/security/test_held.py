"""Attacks that came to nothing when the stack was tested for them, and have to go on so."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model

from .conftest import Web

User = get_user_model()

ONE = b"GET /no-such HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: 0, 5",
        b"Content-Length: +5",
        b"Content-Length : 5",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:\x0bchunked",
        b"X: y\nTransfer-Encoding: chunked",
    ],
)
def test_a_request_that_proxies_could_read_in_two_ways_gets_one_answer(
    web: Web, framing: bytes
) -> None:
    head = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
    answer = web.ask(head + b"0\r\n\r\n" + ONE)
    assert re.match(rb"HTTP/1\.1 (400|501) ", answer), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "path",
    ["/static/../proj/settings.py", "/static/%2e%2e/proj/settings.py", "/static//etc/passwd",
     "/static/..%2f..%2fetc/passwd", "//evil.example/%2e%2e", "/%00", "/admin/..;/metrics"],
)  # fmt: skip
def test_no_path_leads_out_of_the_static_files_or_to_another_site(web: Web, path: str) -> None:
    answer = web.ask(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    assert re.match(rb"HTTP/1\.1 (400|404|301|302) ", answer), answer[:200]
    assert b"SECRET_KEY" not in answer
    assert b"root:" not in answer
    assert b"Location: //" not in answer
    assert b"Location: http" not in answer


def test_a_name_that_a_proxy_did_not_vouch_for_is_on_no_page(web: Web) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Server": "evil.example"}
    assert "evil.example" not in web.visitor(**headers).request("/accounts/login/").text
    assert web.visitor(Host="evil.example").request("/").status == 400


def test_a_session_from_before_the_log_in_is_not_the_one_after(web: Web) -> None:
    User.objects.create_user("victim", password="a-long-password")
    fixed = "a" * 32
    victim = web.visitor(Cookie=f"sessionid={fixed}")
    page = victim.request("/accounts/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token
    del victim.headers["Cookie"]  # beside the one that the answer set
    form = {"username": "victim", "password": "a-long-password", "csrfmiddlewaretoken": token[1]}
    assert victim.request("/accounts/login/", urlencode(form).encode()).status == 200
    attacker = web.visitor(Cookie=f"sessionid={fixed}")
    assert attacker.request("/accounts/password/").text.count("victim") == 0
    assert "/accounts/login/" in attacker.request("/accounts/password/").text
