"""Requests as tests make them: a file to upload, and a body that must not be read."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

SMALL = b"id,name\n1,ann\n2,bob\n3,\n"

#: Bad content: the code of its problem, the status, the line that is wrong.
BAD = [
    pytest.param(b"", "empty", 422, None, id="empty"),
    pytest.param(b"id,name\n", "header_only", 422, None, id="header only"),
    pytest.param(b"a,b\n1,2\n3\n", "ragged_row", 422, 3, id="ragged row"),
    pytest.param(b"a,b\n1,\xe9\n", "wrong_encoding", 422, 2, id="wrong encoding"),
    pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), "binary", 415, None, id="binary"),
    pytest.param(b"<!doctype html><p>hello", "not_csv", 415, None, id="no CSV"),
    pytest.param(b"a,b\n" + b"x" * 10_000_000, "record_too_long", 422, 2, id="10 MB line"),
    pytest.param(b'a,b\n1,"2\n', "unclosed_quote", 422, 2, id="unclosed quote"),
]


def csv_file(data: bytes = SMALL, name: str = "people.csv") -> SimpleUploadedFile:
    """Return a file for a form's field."""
    return SimpleUploadedFile(name, data, "text/csv")


class Unreadable:
    """The body of a request that must be answered without being read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = read


def post_unreadable(client: Client, path: str, **environ: str) -> Any:
    """Post a multipart body that fails the test when anybody reads it."""
    return client.request(
        **{
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "multipart/form-data; boundary=x",
            "CONTENT_LENGTH": "1000000",
            "wsgi.input": Unreadable(),
            **environ,
        }
    )
