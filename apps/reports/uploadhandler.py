"""Feeds a CSV file from the request's stream into the database while it is being received."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile, StopUpload
from django.http import HttpRequest

from .errors import UploadError, UploadInterrupted
from .models import Report
from .uploads import Upload, refuse_too_large, start_upload

FIELD = "file"


class ReportUploadHandler(FileUploadHandler):
    """Stores the file of the field ``file`` as chunks of a report; it never lies anywhere whole.

    An error is kept until ``finish()``: raised from here it would come out of whatever touched
    ``request.POST`` first, the CSRF check for example. Use :func:`receiving`.
    """

    def __init__(self, request: HttpRequest, owner: Any, idempotency_key: str | None) -> None:
        super().__init__(request)
        self._owner = owner
        self._key = idempotency_key
        self._upload: Upload | None = None
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

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, str],  # noqa: N803
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Look at the announced length, if there is one, before anything is read."""
        self._announced = int((self.request and self.request.META.get("CONTENT_LENGTH")) or 0)
        with self._keeping_errors():
            # 1 MB for the other fields and the boundaries.
            refuse_too_large(self._announced - 1024 * 1024)

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        """Begin the upload, or skip a file of another field."""
        super().new_file(field_name, *args, **kwargs)
        if field_name != FIELD:
            raise SkipFile
        with self._keeping_errors():
            if self._upload is not None:
                text = "The request holds more than one file. Send one at a time."
                raise UploadError("missing_file", text)
            if self._error is None:
                self._upload = start_upload(
                    self._owner, self.file_name or "", self._key, self._announced
                )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Store a piece of the file."""
        if self._error is None and self._upload is not None:
            with self._keeping_errors():
                self._upload.write(raw_data)
            return
        # A client that is cut off while it sends doesn't read the answer that says why; so the
        # rest is read and forgotten, within reason.
        self._discarded += len(raw_data)
        if self._discarded > 2 * settings.REPORTS_MAX_UPLOAD_MB * 1024 * 1024:
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

    def finish(self) -> Report:
        """Return the report, now in the workers' hands.

        :raises UploadError: why it is refused.
        """
        if self.request is not None:
            _ = self.request.FILES  # reads the request, if nothing has yet
        if self._error is not None:
            raise self._error
        if self._upload is None:
            text = (
                f"The request holds no file. Send it as multipart/form-data in the field “{FIELD}”."
            )
            raise UploadError("missing_file", text)
        if not self._complete:
            raise UploadInterrupted
        return self._upload.finish()

    def abort(self) -> None:
        """Forget what was received; does nothing after ``finish()``."""
        if self._upload is not None:
            self._upload.abort()


@contextmanager
def receiving(
    request: HttpRequest, owner: Any, idempotency_key: str | None = None
) -> Iterator[ReportUploadHandler]:
    """Receive *request*'s file by streaming; forget it unless ``finish()`` was called in time.

    Enter it before anything reads ``request.POST`` or ``request.FILES``. Django's CSRF check reads
    ``request.POST``: exempt the view, and check within the block (``csrf_protect`` on an inner
    function), before ``finish()``.
    """
    handler = ReportUploadHandler(request, owner, idempotency_key)
    request.upload_handlers = [handler]
    try:
        yield handler
    finally:
        handler.abort()
