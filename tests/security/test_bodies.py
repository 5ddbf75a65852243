"""Large bodies are refused before they are read, and reach no file of somebody unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from .conftest import Web, received

MB = 1024 * 1024
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'


def head(path: str, size: int | None) -> bytes:
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    form = "Content-Type: multipart/form-data; boundary=b"
    cookie = f"Cookie: csrftoken={'a' * 32}"  # or the form isn't looked at
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", length, form, cookie]
    return "\r\n".join([*lines, "", ""]).encode()


def chunks(count: int, size: int = MB // 4) -> Iterator[bytes]:
    for part in [FILE, *[b"x" * size] * count]:
        yield b"%x\r\n%b\r\n" % (len(part), part)


def answer_to(web: Web, first: bytes, rest: Iterable[bytes] = ()) -> bytes:
    """Send the body for as long as the server takes it; return the answer."""
    sock = web.connect(first)
    try:
        for part in rest:
            sock.sendall(part)
    except OSError:
        pass  # refused meanwhile
    return received(sock)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/accounts/login/", 413),
        ("/admin/login/", 413),
        ("/api/token", 413),
        ("/no-such-page", 413),
    ],
)
def test_a_body_of_80_mb_from_a_stranger_is_not_read(web: Web, path: str, status: int) -> None:
    answer = answer_to(web, head(path, 80 * MB) + FILE)
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer


def status_of_endless(web: Web, path: str) -> int:
    """Return the answer's status to a body of unknown length, of which no file may hold a part."""
    folder = Path(web.role.log).parent
    before = set(folder.iterdir())
    answer = answer_to(web, head(path, None), chunks(40))
    assert set(folder.iterdir()) <= before  # another request's may go meanwhile
    assert not [
        file
        for process in psutil.Process(web.role.process.pid).children(recursive=True)
        for file in process.open_files()
        if ".upload" in file.path
    ]
    return int(answer.split()[1]) if answer else 413  # or reset, while it still sent


def test_one_of_unknown_length_is_cut_off_and_reaches_no_file(web: Web) -> None:
    assert status_of_endless(web, "/accounts/login/") in {400, 413}
