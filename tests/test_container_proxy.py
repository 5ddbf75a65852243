"""The proxy of compose.yaml: static files, limits, a page of its own, HTTPS."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from .containers import Stack
from .ports import free_port

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

HOST = "site.test"
#: What web's own answers have (tests/security/test_headers.py).
SECURITY = (
    "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy",
)  # fmt: skip
PROXY = ("up", "--detach", "--wait", "--no-deps", "--no-build", "proxy")


def ask(
    connection: http.client.HTTPConnection, path: str, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_static_files_come_from_the_proxy_and_for_good(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    _, _, page = ask(connection, "/admin/login/")
    (css,) = re.findall(r'"(/static/admin/css/base\.[0-9a-f]+\.css)"', page)
    status, headers, _ = ask(connection, css)
    assert (status, headers["X-Request-ID"]) == (200, None), "web has not seen it"
    assert "immutable" in headers["Cache-Control"]
    assert [name for name in SECURITY if not headers[name]] == []
    assert headers["Server"] is None
    assert ask(connection, "/livez")[1]["Via"] is None


@pytest.fixture
def public(stack: Stack) -> Iterator[tuple[int, int]]:
    """Give the stack's proxy a name and ports of its own for HTTP and HTTPS; return the ports."""
    ports = free_port(), free_port()
    env = {"SITE_HOST": HOST, "SITE_TLS": "internal", "PUBLISH_ADDRESS": "127.0.0.1"}
    env |= {"PROXY_MAX_BODY": "1KiB"}
    stack.compose(*PROXY, env={**env, "HTTP_PORT": str(ports[0]), "HTTPS_PORT": str(ports[1])})
    yield ports
    stack.compose(*PROXY)


def test_with_a_name_it_speaks_https_and_sends_there(stack: Stack, public: tuple[int, int]) -> None:
    plain, secure = public
    connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=60)
    status, headers, _ = ask(connection, "/admin/login/?x=1", Host=HOST)
    assert (status, headers["Location"]) == (308, f"https://{HOST}/admin/login/?x=1")

    root = "/volumes/certificates/caddy/pki/authorities/local/root.crt"
    certificate = stack.compose("exec", "-T", "proxy", "cat", root).stdout
    context = ssl.create_default_context(cadata=certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def connect() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", secure), 60)
        return context.wrap_socket(raw, server_hostname=HOST)

    with connect() as spoken:
        assert spoken.selected_alpn_protocol() == "h2"
    context.set_alpn_protocols(["http/1.1"])
    https = http.client.HTTPSConnection(HOST, secure, context=context, timeout=60)
    https.sock = connect()
    status, headers, _ = ask(https, "/livez")
    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "h3=" in headers["Alt-Svc"]

    https.request("POST", "/admin/login/", b"x" * 2000)
    answer = https.getresponse()
    assert answer.status == 413
    assert "<h1>That is too large</h1>" in answer.read().decode()
    assert [name for name in SECURITY if not answer.headers[name]] == []
