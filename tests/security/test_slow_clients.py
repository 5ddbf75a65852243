"""Clients that send or read slowly, or not at all, hold memory and no thread."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import closing, suppress

import psutil
import psycopg
import pytest

from tests.fixtures_worker import database_url, wait_for

from .conftest import THREADS, Web, received

HEAD = b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
#: Answers of some hundred kilobytes, more than a client with a small window lets through.
STATIC = b"GET /static/ninja/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "sends",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD, id="half a head"),
        pytest.param(HEAD + FORM + b"Content-Length: 9\r\n\r\na", id="half a small body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\na", id="half a chunk"),
        pytest.param(HEAD + FORM + b"Content-Length: 900000\r\n\r\na", id="half a large body"),
        pytest.param(STATIC, id="reads nothing"),
    ],
)
def test_slow_connections_hold_no_thread_and_are_ended(web: Web, sends: bytes) -> None:
    slow = [web.connect(sends, receives=4096) for _ in range(4 * THREADS)]
    for path in ("/livez", "/readyz", "/", "/accounts/login/"):
        assert web.visitor().request(path).status == 200
    if sends is not STATIC:  # whose rest would have to be read to see its end
        for sock in slow:
            while received(sock):
                pass


def test_slow_chunks_take_no_place_of_an_upload(web: Web) -> None:
    chunked = HEAD + FORM + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(4 * THREADS):
        web.connect(chunked + b"9\r\na")
    size = 900_000
    upload = HEAD + FORM + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size
    assert web.ask(upload + b"a" * size).startswith(b"HTTP/1.1 403")
    sock = web.connect(chunked)
    for part in (b"1;x=y\r\na", b"\r\n2\r\n=b\r", b"\n0\r\n", b"A: b\r\n\r\n"):
        sock.sendall(part)
        time.sleep(0.05)
    assert received(sock).startswith(b"HTTP/1.1 403")


def test_large_bodies_that_never_end_take_no_place_of_an_upload_and_leave_room(web: Web) -> None:
    large = HEAD + FORM + b"Cookie: csrftoken=%b\r\nConnection: close\r\n" % (b"a" * 32)
    large += b"Content-Length: 900000\r\n\r\n"
    slow = [web.connect(large + b"a") for _ in range(4 * THREADS)]
    whole = large + b"a" * 900_000
    assert web.ask(whole).startswith(b"HTTP/1.1 403")
    more = [web.connect(whole[:-9]) for _ in range(6)]  # beyond limits.RECEIVED
    assert received(more[0]) == b"", "the one that began first goes"
    assert web.ask(whole).startswith(b"HTTP/1.1 403")
    assert all(received(sock).startswith(b"HTTP/1.1 408") for sock in slow)


def test_drops_of_bytes_buy_no_time(web: Web) -> None:
    sock = web.connect(HEAD + FORM + b"Content-Length: 60000\r\n\r\n")
    sock.settimeout(0.2)

    def refused() -> bytes:
        try:
            with suppress(ConnectionError):  # ended since it was asked last; the answer is there
                sock.sendall(b"x")
            return received(sock)[:12]
        except TimeoutError:
            return b""

    assert wait_for(refused, "the client is refused") == b"HTTP/1.1 408"


def test_many_idle_connections_make_room_for_the_next_one(web: Web) -> None:
    idle = [web.connect() for _ in range(600)]
    assert web.visitor().request("/").status == 200
    assert received(idle[0]) == b""


def test_a_client_that_reads_slowly_gets_all_of_the_answer(web: Web) -> None:
    sock = web.connect(STATIC.replace(b"1.1\r\nHost", b"1.0\r\nHost"), receives=4096)
    answer = b""
    while part := received(sock):
        answer += part
        time.sleep(0.0005)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"


def test_requests_in_one_packet_are_answered_in_their_order(web: Web) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /no-such HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    form = HEAD + FORM + b"Content-Length: 3\r\n\r\na=b"
    answer = web.ask(one + form + one + last)
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"403", b"200", b"404"]


def test_a_client_that_waits_for_a_word_to_send_its_body_gets_one_word(web: Web) -> None:
    sock = web.connect(
        HEAD + FORM + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )
    assert received(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"a=b")
    assert received(sock).startswith(b"HTTP/1.1 403")


def test_clients_that_reset_their_connections_end_no_process(web: Web) -> None:
    [process] = psutil.Process(web.role.process.pid).children()
    reset = struct.pack("ii", 1, 0)
    form = HEAD + FORM + b"Content-Length: 9\r\n"
    for sends in (b"", HEAD, form + b"\r\n", form + b"Expect: 100-continue\r\n\r\n", STATIC) * 8:
        with socket.create_connection(("127.0.0.1", web.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            sock.sendall(sends)
    assert web.visitor().request("/").status == 200
    assert psutil.Process(web.role.process.pid).children() == [process]


def test_a_process_whose_threads_are_stuck_says_so(web: Web) -> None:
    """The probes have threads of their own; that must not make them lie."""

    def live() -> int:
        return web.visitor().request("/livez").status

    with closing(psycopg.connect(database_url())) as lock:
        lock.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        asks = (
            b"GET /admin/login/ HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid="
            + b"a" * 32
            + b"\r\n\r\n"
        )
        waiting = [web.connect(asks) for _ in range(THREADS)]
        assert live() == 200, "busy is not stuck"
        waiting.append(web.connect(asks))
        wait_for(lambda: live() == 503, "the process says that it is stuck")
        lock.rollback()
    assert [received(sock)[:12] for sock in waiting] == [b"HTTP/1.1 200"] * 3
    assert live() == 200
