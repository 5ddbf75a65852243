"""The proxy of compose.yaml: static files, limits, a page of its own, HTTPS."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .containers import Stack, wait_until
from .ports import free_port

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

HOST = "site.test"
#: What web's own answers have (tests/security/test_headers.py).
SECURITY = (
    "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy",
)  # fmt: skip
#: The authority of acme.yaml.
AUTHORITY = "https://authority.test {\n\ttls internal\n\tacme_server\n}\n"
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


@pytest.fixture(params=["internal", "acme"])
def public(
    request: pytest.FixtureRequest, stack: Stack, tmp_path: Path
) -> Iterator[tuple[int, int, str]]:
    """Give the proxy a name and ports for HTTP and HTTPS; return these, and who signs."""
    ports = free_port(), free_port()
    env = {"SITE_HOST": HOST, "SITE_TLS": request.param, "PUBLISH_ADDRESS": "127.0.0.1"}
    env |= {"PROXY_MAX_BODY": "1KiB", "HTTP_PORT": str(ports[0]), "HTTPS_PORT": str(ports[1])}
    if request.param == "internal":
        stack.compose(*PROXY, env=env)
        yield *ports, root_of(stack, "proxy", "/volumes/certificates/caddy")
    else:
        env |= {"COMPOSE_FILE": "compose.yaml:tests/acme.yaml", "AUTHORITY": str(tmp_path)}
        env |= {"ACME_CA": "https://authority.test/acme/local/directory"}
        tmp_path.chmod(0o755)  # the proxy's user reads it
        (tmp_path / "Caddyfile").write_text(AUTHORITY)
        stack.compose("up", "--detach", "authority", env=env)
        root = wait_until(lambda: root_of(stack, "authority", "/data/caddy", env), "it has a root")
        (tmp_path / "root.crt").write_text(root)
        stack.compose(*PROXY, env=env)
        yield *ports, root
        stack.compose("kill", "authority", env=env)
        stack.compose("rm", "--force", "authority", env=env)
    stack.compose(*PROXY)


def root_of(stack: Stack, service: str, folder: str, env: dict[str, str] | None = None) -> str:
    path = f"{folder}/pki/authorities/local/root.crt"
    return stack.compose("exec", "-T", service, "cat", path, env=env or {}, check=False).stdout


def is_signed(connect: Callable[[], ssl.SSLSocket]) -> bool:
    try:
        connect().close()
    except ssl.SSLError:
        return False
    return True


def test_with_a_name_it_speaks_https_and_sends_there(
    stack: Stack, public: tuple[int, int, str]
) -> None:
    plain, secure, root = public
    connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=60)
    status, headers, _ = ask(connection, "/admin/login/?x=1", Host=HOST)
    assert (status, headers["Location"]) == (308, f"https://{HOST}/admin/login/?x=1")

    context = ssl.create_default_context(cadata=root)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def connect() -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", secure), 60)
        return context.wrap_socket(raw, server_hostname=HOST)

    wait_until(lambda: is_signed(connect), "it has its certificate")
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
