"""A form's file that goes where it belongs while it is received, and never lies anywhere whole.

No memory and no temporary file holds it, so that its size needs no room here. Its view is named in
``UPLOAD_VIEWS``, and knows who sends the file before it enters :func:`receiving`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Generic, Protocol, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopUpload
from django.http import HttpRequest

from .bodies import announced
from .problems import ProblemError

MB = 1024 * 1024
T_co = TypeVar("T_co", covariant=True)


class FileError(ProblemError):
    """A file that is refused; nothing of it is kept.

    :ivar code: a name for programs, e.g. ``too_large``.
    :ivar line: the line of the file, counted from 1 as editors do, or ``None``.
    """

    def __init__(
        self, status: int, code: str, detail: str, line: int | None = None, retry_after: int = 0
    ) -> None:
        members: dict[str, Any] = {"code": code} | ({"line": line} if line else {})
        headers = {"Retry-After": str(retry_after)} if retry_after else {}
        super().__init__(status, "The file was refused", detail, headers=headers, **members)
        self.code, self.line = code, line


class Interrupted(FileError):  # noqa: N818
    """The upload ended early, or what it was for is gone."""

    def __init__(self, detail: str = "The upload was interrupted. Send the file again.") -> None:
        super().__init__(400, "interrupted", detail)


class Sink(Protocol[T_co]):
    """A place where the file goes: rows, an object storage."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> T_co:
        """Take the end, and return what the file has become."""

    def abort(self) -> None:
        """Forget the file, however much of it there was."""


class Receiver(FileUploadHandler, Generic[T_co]):
    """Passes the file of a form on to a sink.

    An error is kept until ``finish()``: raised from here it would come out of the first access to
    ``request.POST``, the CSRF check for example. Made by :func:`receiving`.
    """

    def __init__(
        self, request: HttpRequest, sink: Callable[[str, int], Sink[T_co]], most_mb: int, field: str
    ) -> None:
        super().__init__(request)
        self._make, self._most_mb, self._field = sink, most_mb, field
        self._sink: Sink[T_co] | None = None
        self._error: Exception | None = None
        self._complete = False
        self._announced = self._discarded = 0

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.abort()
            self._error = self._error or error

    def _refuse_too_large(self, size: int) -> None:
        if size > self._most_mb * MB:
            text = f"The file is larger than {self._most_mb} MB, which is the limit here."
            raise FileError(413, "too_large", text)

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        """Look at the announced length, if there is one, before anything is read."""
        if self.request is not None:
            self._announced = max(0, announced(self.request))
        with self._keeping_errors():
            self._refuse_too_large(self._announced - MB)  # for the other fields and the boundaries

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        """Begin the upload, or skip a file of another field."""
        super().new_file(field_name, *args, **kwargs)
        if field_name != self._field:
            raise SkipFile
        with self._keeping_errors():
            if self._sink is not None:
                text = "The request holds more than one file. Send one at a time."
                raise FileError(422, "missing_file", text)
            if self._error is None:
                self._sink = self._make(self.file_name or "", self._announced)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Pass a piece of the file on."""
        if self._error is None and self._sink is not None:
            with self._keeping_errors():
                self._refuse_too_large(start + len(raw_data))
                self._sink.write(raw_data)
            return
        # A client that is cut off while it sends doesn't read the answer that says why; so the
        # rest is read and forgotten, within reason.
        self._discarded += len(raw_data)
        if self._discarded > 2 * self._most_mb * MB:
            raise StopUpload(connection_reset=True)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        """Put an empty stand-in into ``request.FILES``: forms see that a file was sent."""
        self._complete = True
        return UploadedFile(
            BytesIO(), name=self.file_name, content_type=self.content_type, size=file_size
        )

    def upload_interrupted(self) -> None:
        """Forget a file whose client went away."""
        self._complete = False
        self.abort()

    def finish(self) -> T_co:
        """Return what the file has become.

        :raises FileError: why it is refused.
        """
        if self.request is not None:
            _ = self.request.FILES  # reads the request, if nothing has yet
        if self._error is not None:
            raise self._error
        if self._sink is None:
            is_form = getattr(self.request, "content_type", "") == "multipart/form-data"
            text = f"Send it as multipart/form-data in the field “{self._field}”."
            raise FileError(
                422 if is_form else 415, "missing_file", f"The request holds no file. {text}"
            )
        if not self._complete:
            raise Interrupted
        result = self._sink.finish()
        self._sink = None
        return result

    def abort(self) -> None:
        """Forget what was received; does nothing after ``finish()``."""
        if self._sink is not None:
            self._sink.abort()


@contextmanager
def receiving(
    request: HttpRequest,
    sink: Callable[[str, int], Sink[T_co]],
    *,
    most_mb: int,
    field: str = "file",
) -> Iterator[Receiver[T_co]]:
    """Receive the file of a *field* by streaming; forget it unless ``finish()`` was called in time.

    Enter it before anything reads ``request.POST`` or ``request.FILES``. Django's CSRF check reads
    ``request.POST``: exempt the view, and check within the block (``csrf_protect`` on an inner
    function), before ``finish()``.

    :param sink: makes what takes the file, of its name and the size that the request announces.
    :param most_mb: a file is at most so large.
    """
    receiver = Receiver(request, sink, most_mb, field)
    request.upload_handlers = [receiver]
    try:
        yield receiver
    finally:
        receiver.abort()
