"""A file is passed on while it is received, and nothing of it stays if it isn't wanted."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.http import UnreadablePostError
from django.test import RequestFactory

from durable.web.uploads import FileError, Interrupted, receiving

BOUNDARY = "frontier"
TABLE = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number) for number in range(20_000))


def part(field: str, content: bytes, filename: str | None = None) -> bytes:
    name = f'; filename="{filename}"' if filename else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FILE = part("file", TABLE, "my table.csv")


class Client(io.RawIOBase):
    """A client that sends *body*, and then goes away or says what it has to say."""

    def __init__(self, body: bytes, at_end: Callable[[], bytes] = bytes) -> None:
        self._body = io.BytesIO(body)
        self._at_end = at_end
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        data = self._body.read(size) or self._at_end()
        self.bytes_read += len(data)
        return data


def request(
    body: bytes, length: int | None = None, at_end: Callable[[], bytes] = bytes
) -> WSGIRequest:
    made = RequestFactory().generic("POST", "/", b"")
    environ = {
        **made.environ,
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "wsgi.input": Client(body, at_end),
    }
    return WSGIRequest(environ)


def bytes_read(asked: WSGIRequest) -> int:
    client: Client = asked.environ["wsgi.input"]
    return client.bytes_read


class Kept:
    """A sink that keeps what it gets, but for a file that says `bad`."""

    def __init__(self, name: str, announced: int) -> None:
        self.name, self.announced = name, announced
        self.data = b""
        self.is_aborted = False
        made.append(self)

    def write(self, data: bytes) -> None:
        self.data += data
        if b"bad" in data:
            raise FileError(422, "bad", "This is bad.", line=7)

    def finish(self) -> Kept:
        if not self.data:
            raise FileError(422, "empty", "The file is empty.")
        return self

    def abort(self) -> None:
        self.is_aborted = True


made: list[Kept] = []


@pytest.fixture(autouse=True)
def _none_made() -> None:
    made.clear()


def all_aborted() -> bool:
    return bool(made) and all(sink.is_aborted for sink in made)


def receive(asked: WSGIRequest, most_mb: int = 10) -> Kept:
    with receiving(asked, Kept, most_mb=most_mb) as incoming:
        return incoming.finish()


def test_a_file_is_received() -> None:
    asked = request(part("note", b"hi") + FILE + part("more", b"yes") + END)
    kept = receive(asked)
    assert (kept.name, kept.data) == ("my table.csv", TABLE)
    assert kept.announced == int(asked.META["CONTENT_LENGTH"])
    assert not kept.is_aborted


def test_the_other_fields_are_there_and_the_file_looks_like_one() -> None:
    asked = request(part("note", b"hi") + FILE + END)
    with receiving(asked, Kept, most_mb=1) as incoming:
        assert asked.POST["note"] == "hi"
        file = asked.FILES["file"]
        assert isinstance(file, UploadedFile)
        assert (file.name, file.size, file.read()) == ("my table.csv", len(TABLE), b"")
        incoming.finish()
    asked.close()


def test_the_file_is_passed_on_while_it_is_read() -> None:
    seen: list[int] = []

    def look() -> bytes:
        seen.append(len(made[0].data))
        return b""

    body = FILE + END
    with pytest.raises(Interrupted):
        receive(request(body[: len(body) // 2], len(body), look))
    assert seen[0] > len(body) // 3


def test_of_a_client_that_goes_away_nothing_stays() -> None:
    body = FILE + END
    for sent in (len(body) // 2, len(body) - len(END) - 20):
        with pytest.raises(Interrupted):
            receive(request(body[:sent], len(body)))
        assert all_aborted()


def test_of_a_connection_that_breaks_nothing_stays() -> None:
    def broken() -> bytes:
        raise OSError("connection reset by peer")

    with pytest.raises(UnreadablePostError):
        receive(request(FILE[:100_000], len(FILE), broken))
    assert all_aborted()


def test_of_a_view_that_fails_before_it_takes_the_file_nothing_stays() -> None:
    def view(asked: WSGIRequest) -> None:
        with receiving(asked, Kept, most_mb=1):
            assert asked.FILES
            raise PermissionError("as a failed CSRF check does")

    with pytest.raises(PermissionError):
        view(request(FILE + END))
    assert all_aborted()


def test_what_is_wrong_with_the_file_is_raised_by_finish_alone() -> None:
    asked = request(part("file", TABLE + b"bad", "table.csv") + part("note", b"hi") + END)
    with receiving(asked, Kept, most_mb=1) as incoming:
        assert asked.POST["note"] == "hi"
        with pytest.raises(FileError, match="This is bad") as caught:
            incoming.finish()
    assert (caught.value.code, caught.value.line, caught.value.status) == ("bad", 7, 422)
    assert all_aborted()


def test_a_request_without_a_file_is_told_which_field_to_use() -> None:
    for body in (END, part("note", b"hi") + END, part("data", TABLE, "a.csv") + END):
        with pytest.raises(FileError, match="in the field “file”") as caught:
            receive(request(body))
        assert caught.value.status == 422


def test_one_file_at_a_time() -> None:
    with pytest.raises(FileError, match="more than one file"):
        receive(request(FILE + FILE + END))
    assert all_aborted()


def test_an_empty_file_has_an_end_too() -> None:
    with pytest.raises(FileError, match="The file is empty"):
        receive(request(part("file", b"", "a.csv") + END))
    assert all_aborted()


def test_a_file_that_is_too_large_is_refused_and_its_client_can_read_why() -> None:
    # Clearly too large by its announced length, and found to be so only at its end.
    for rows in (900_000, 540_000):
        asked = request(part("file", b"a,b\n" + b"1,2\n" * rows, "a.csv") + END)
        with pytest.raises(FileError, match="larger than 2 MB") as caught:
            receive(asked, most_mb=2)
        assert (caught.value.status, caught.value.code) == (413, "too_large")
        assert bytes_read(asked) == int(asked.META["CONTENT_LENGTH"])
    assert len(made) == 1
    assert all_aborted()


def test_a_file_without_end_is_cut_off() -> None:
    asked = request(FILE[:1000], 10**12, lambda: b"1,2\n" * 1000)
    with pytest.raises(FileError, match="larger than 1 MB"):
        receive(asked, most_mb=1)
    assert bytes_read(asked) < 3 * 1024 * 1024


def test_nothing_is_written_to_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a temporary file was made")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", refuse)
    assert receive(request(part("other", TABLE, "b.csv") + FILE + END)).data == TABLE
