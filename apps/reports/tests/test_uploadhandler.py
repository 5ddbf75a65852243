"""Receiving a file by streaming from a request, as the views do."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.http import UnreadablePostError
from django.test import RequestFactory
from pytest_django import Settings

from apps.reports.errors import UploadError, UploadInterrupted
from apps.reports.models import Chunk, Report
from apps.reports.uploadhandler import receiving

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


def receive(owner: User, asked: WSGIRequest, key: str | None = None) -> Report:
    with receiving(asked, owner, key) as incoming:
        return incoming.finish()


def test_a_file_is_received(owner: User) -> None:
    report = receive(owner, request(part("note", b"hi") + FILE + part("more", b"yes") + END))
    assert (report.name, report.rows, report.state) == ("my table.csv", 20_000, "processing")
    assert report.size_bytes == len(TABLE)


def test_the_other_fields_are_there_and_the_file_looks_like_one(owner: User) -> None:
    asked = request(part("note", b"hi") + FILE + END)
    with receiving(asked, owner) as incoming:
        assert asked.POST["note"] == "hi"
        file = asked.FILES["file"]
        assert isinstance(file, UploadedFile)
        assert (file.name, file.size, file.read()) == ("my table.csv", len(TABLE), b"")
        incoming.finish()
    asked.close()


def test_the_file_is_stored_while_it_is_read(owner: User, settings: Settings) -> None:
    settings.REPORTS_CHUNK_KB = 16
    seen: list[int] = []

    def look() -> bytes:
        seen.append(Chunk.objects.count())
        return b""

    body = FILE + END
    with pytest.raises(UploadInterrupted):
        receive(owner, request(body[: len(body) // 2], len(body), look))
    assert seen[0] > 3


def test_a_client_that_goes_away_leaves_nothing_behind(owner: User) -> None:
    body = FILE + END
    for sent in (len(body) // 2, len(body) - len(END) - 20):
        with pytest.raises(UploadInterrupted):
            receive(owner, request(body[:sent], len(body)))
        assert not Report.objects.exists()


def test_a_connection_that_breaks_leaves_nothing_behind(owner: User) -> None:
    def broken() -> bytes:
        raise OSError("connection reset by peer")

    with pytest.raises(UnreadablePostError):
        receive(owner, request(FILE[:100_000], len(FILE), broken))
    assert not Report.objects.exists()


def test_a_view_that_fails_before_it_takes_the_report_leaves_nothing_behind(owner: User) -> None:
    def view(asked: WSGIRequest) -> None:
        with receiving(asked, owner):
            assert asked.FILES
            raise PermissionError("as a failed CSRF check does")

    with pytest.raises(PermissionError):
        view(request(FILE + END))
    assert not Report.objects.exists()


def test_what_is_wrong_with_the_file_is_raised_by_finish_alone(owner: User) -> None:
    asked = request(part("file", TABLE + b"1\n", "table.csv") + part("note", b"hi") + END)
    with receiving(asked, owner) as incoming:
        assert asked.POST["note"] == "hi"
        with pytest.raises(UploadError, match=r"Line 20002 has 1 field\b"):
            incoming.finish()
    assert not Report.objects.exists()


def test_a_request_without_a_file_is_told_which_field_to_use(owner: User) -> None:
    for body in (END, part("note", b"hi") + END, part("data", TABLE, "a.csv") + END):
        with pytest.raises(UploadError, match="in the field “file”"):
            receive(owner, request(body))


def test_one_file_at_a_time(owner: User) -> None:
    with pytest.raises(UploadError, match="more than one file"):
        receive(owner, request(FILE + FILE + END))
    assert not Report.objects.exists()


def test_an_empty_file_is_told_so(owner: User) -> None:
    with pytest.raises(UploadError, match="The file is empty"):
        receive(owner, request(part("file", b"", "a.csv") + END))


def test_the_key_is_honoured(owner: User) -> None:
    first = receive(owner, request(FILE + END), "k")
    assert receive(owner, request(FILE + END), "k") == first
    with pytest.raises(UploadError, match="another content"):
        receive(owner, request(part("file", b"a\n1\n", "a.csv") + END), "k")


def test_a_file_that_is_too_large_is_refused_and_its_client_can_read_why(
    owner: User, settings: Settings
) -> None:
    settings.REPORTS_MAX_UPLOAD_MB = 2
    # Clearly too large by its announced length, and found to be so only at its end.
    for rows in (900_000, 540_000):
        asked = request(part("file", b"a,b\n" + b"1,2\n" * rows, "a.csv") + END)
        with pytest.raises(UploadError, match="larger than 2 MB"):
            receive(owner, asked)
        assert bytes_read(asked) == int(asked.META["CONTENT_LENGTH"])
    assert not Report.objects.exists()


def test_a_file_without_end_is_cut_off(owner: User, settings: Settings) -> None:
    settings.REPORTS_MAX_UPLOAD_MB = 1
    asked = request(FILE[:1000], 10**12, lambda: b"1,2\n" * 1000)
    with pytest.raises(UploadError, match="larger than 1 MB"):
        receive(owner, asked)
    assert bytes_read(asked) < 3 * 1024 * 1024


def test_nothing_is_written_to_the_disk(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a temporary file was made")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", refuse)
    assert receive(owner, request(part("other", TABLE, "b.csv") + FILE + END)).rows == 20_000
