"""A body that can't be taken gets an answer with words, in whatever place it was read."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Any

import pytest
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from pytest_django import Settings

from durable.wsgi import Handler

# Django looks at the connection that another test left when a request begins.
pytestmark = pytest.mark.django_db

FORM = b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nabc\r\n--b--\r\n"


class FullDisk(FileUploadHandler):
    """Writes where no room is left."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        with open("/dev/full", "wb") as file:  # noqa: PTH123
            file.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        return None


def take(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.FILES)))


urlpatterns = [path("checked", take), path("exempt", csrf_exempt(take))]


def ask(where: str, body: bytes, **environ: Any) -> int:
    """Return the status of the answer to *body*, sent to the real application."""
    statuses: list[str] = []
    environ = {
        **RequestFactory().post(where).environ,
        "HTTP_COOKIE": f"csrftoken={'a' * 32}",  # or the CSRF check doesn't look at the form
        "CONTENT_TYPE": "multipart/form-data; boundary=b",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }

    def start(status: str, *_: Any) -> Any:
        statuses.append(status)

    list(Handler()(environ, start))
    return int(statuses[0].split()[0])


@pytest.fixture(autouse=True)
def own_urls(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.TEMPLATES = []
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000


@pytest.mark.parametrize("view", ["checked", "exempt"])
def test_a_full_disk_is_told_to_the_one_who_sent_the_file(settings: Settings, view: str) -> None:
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.FullDisk"]
    assert ask(f"/{view}", FORM) == HTTPStatus.INSUFFICIENT_STORAGE


def test_a_large_body_is_refused_unread_and_one_of_unknown_length_when_it_gets_large() -> None:
    assert ask("/exempt", FORM) == 200
    assert ask("/exempt", b"", CONTENT_LENGTH="1001") == 413
    unknown = {
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
    }
    assert ask("/exempt", FORM, **unknown) == 200
    assert ask("/exempt", FORM.replace(b"abc", b"x" * 1000), **unknown) == 413


def test_no_path_writes_a_line_of_its_own_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    path = "/x\n[2026-01-01: CRITICAL/root] all is lost"
    assert ask("/", b"", PATH_INFO=path, CONTENT_LENGTH="1001") == 413
    [said] = [one.getMessage() for one in caplog.records if "was refused" in one.getMessage()]
    assert "\n" not in said
    assert "/x%0A" in said


@pytest.mark.parametrize("view", ["checked", "exempt"])
def test_a_client_that_went_away_is_no_error_of_the_servers(view: str) -> None:
    class Gone(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise TimeoutError("the client sends too slowly")

    assert ask(f"/{view}", FORM, **{"wsgi.input": Gone()}) in {403, 408}
