"""Stores an upload while it arrives, chunk by chunk, and hands it to the workers."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, reset_queries, transaction
from django.utils import timezone

from . import tasks
from .csvstream import Block, CsvStream
from .errors import CsvError, IdempotencyConflict, IdempotencyInProgress, UploadInterrupted
from .models import Chunk, Report

MAX_KEY_LENGTH = 255  # characters of an idempotency key
#: A slow upload shows that it lives this often, in seconds; see expiry.sweep_abandoned_uploads.
SIGN_OF_LIFE = 30


class Upload:
    """One upload: ``write()`` the bytes as they come, then ``finish()`` or ``abort()``.

    Each chunk is committed in a short transaction of its own, so that a slow upload holds neither
    a transaction nor more memory than a chunk. After an error nothing of it is stored any more.
    Use :func:`start_upload` to create one.
    """

    def __init__(self, report: Report, repeated: bool) -> None:
        self._report = report
        # The key is known: the content is compared with the first upload's, and not stored.
        self._repeated = repeated
        self._stream = CsvStream(settings.REPORTS_CHUNK_KB * 1024)
        self._digest = hashlib.sha256()
        self._chunks = 0
        self._alive_at = time.monotonic()
        self._is_open = True
        self.size_bytes = 0

    @property
    def report_id(self) -> UUID:
        """The id of the report that this upload belongs to."""
        return self._report.pk

    def write(self, data: bytes) -> None:
        """Take the next bytes of the file.

        :raises CsvError: the content can't be used, or is too large; the upload is aborted.
        :raises UploadInterrupted: the report was deleted meanwhile.
        """
        self._check_open()
        try:
            self.size_bytes += len(data)
            if self.size_bytes > settings.REPORTS_MAX_UPLOAD_MB * 1024 * 1024:
                raise CsvError(
                    "too_large",
                    f"The file is larger than {settings.REPORTS_MAX_UPLOAD_MB} MB, "
                    "which is the limit here.",
                )
            self._digest.update(data)
            if not self._repeated:
                for block in self._stream.feed(data):
                    self._store(block)
                self._show_life()
        except BaseException:
            self.abort()
            raise

    def finish(self) -> Report:
        """Take the end of the file, hand the report to the workers and return it.

        :raises CsvError: the content can't be used; nothing is kept.
        :raises IdempotencyConflict: the key belongs to another content.
        :raises UploadInterrupted: the report was deleted meanwhile.
        """
        self._check_open()
        if self._repeated:
            self._is_open = False
            return self._compare()
        try:
            for block in self._stream.close():
                self._store(block)
            self._hand_over()
        except BaseException:
            self.abort()
            raise
        self._is_open = False
        return self._report

    def abort(self) -> None:
        """Forget the upload; does nothing after ``finish()`` or a second time."""
        if self._is_open and not self._repeated:
            Report.objects.filter(pk=self._report.pk, state=Report.State.UPLOADING).delete()
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise UploadInterrupted

    def _store(self, block: Block) -> None:
        try:
            Chunk.objects.create(
                report_id=self._report.pk,
                number=block.number,
                first_line=block.first_line,
                rows=block.rows,
                data=block.data,
            )
        except IntegrityError as error:  # the report is gone, and with it the foreign key
            raise UploadInterrupted from error
        self._chunks += 1
        if settings.DEBUG:
            reset_queries()  # Django would keep the last 9,000 statements, each with a chunk in it

    def _show_life(self) -> None:
        if time.monotonic() - self._alive_at < SIGN_OF_LIFE:
            return
        self._alive_at = time.monotonic()
        if not Report.objects.filter(pk=self._report.pk).update(active_at=timezone.now()):
            raise UploadInterrupted

    def _hand_over(self) -> None:
        fields: dict[str, Any] = {
            "state": Report.State.PROCESSING,
            "size_bytes": self.size_bytes,
            "sha256": self._digest.hexdigest(),
            "delimiter": self._stream.delimiter,
            "columns": self._stream.columns,
            "rows": self._stream.rows,
            "chunks_total": self._chunks,
        }
        with transaction.atomic():
            uploading = Report.objects.filter(pk=self._report.pk, state=Report.State.UPLOADING)
            if not uploading.update(**fields):
                raise UploadInterrupted
            # One task, however many chunks: the request must not write thousands of them.
            tasks.start_profiling.delay_on_commit(str(self._report.pk))
        for name, value in fields.items():
            setattr(self._report, name, value)

    def _compare(self) -> Report:
        report = Report.objects.filter(pk=self._report.pk).first()
        if report is None:
            raise UploadInterrupted("The report of this key was deleted. Send the file again.")
        if (report.size_bytes, report.sha256) != (self.size_bytes, self._digest.hexdigest()):
            raise IdempotencyConflict
        return report


def start_upload(owner: Any, filename: str, idempotency_key: str | None = None) -> Upload:
    """Begin an upload for the user *owner*.

    The same *idempotency_key* with the same content gives the report of the first upload. A key
    is free again when its upload was refused or its report is deleted.

    :param filename: what the person calls the file; only shown.
    :param idempotency_key: up to 255 characters, or nothing.
    :raises IdempotencyInProgress: an upload with this key is going on.
    :raises ValueError: the key is too long.
    """
    key = idempotency_key or None
    if key and len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"the idempotency key is longer than {MAX_KEY_LENGTH} characters")
    name = "".join(filter(str.isprintable, filename)).strip()[-255:] or "upload.csv"
    try:
        with transaction.atomic():
            report = Report.objects.create(owner=owner, name=name, idempotency_key=key)
    except IntegrityError:
        first = Report.objects.filter(owner=owner, idempotency_key=key).first() if key else None
        if first is None:
            if key:
                raise IdempotencyInProgress from None  # it ended this very moment
            raise
        if first.state == Report.State.UPLOADING:
            raise IdempotencyInProgress from None
        return Upload(first, repeated=True)
    return Upload(report, repeated=False)
