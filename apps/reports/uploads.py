"""Stores an upload while it arrives, chunk by chunk, and hands it to the workers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, reset_queries, transaction
from django.utils import timezone

from . import quota, tasks
from .csvstream import Block, CsvStream
from .errors import UploadError, UploadInterrupted
from .models import Chunk, Report

MAX_KEY_LENGTH = 255  # characters of an idempotency key
#: A slow upload shows that it lives this often, in seconds; see expiry.sweep_abandoned_uploads.
SIGN_OF_LIFE = 30


class Upload:
    """One upload: ``write()`` the bytes as they come, then ``finish()`` or ``abort()``.

    Each chunk is committed in a short transaction of its own, so that a slow upload holds neither
    a transaction nor more memory than a chunk. After an error nothing of it is stored any more.
    Use :func:`start_upload` to create one.

    :ivar repeated: the key is known: the content is compared with the first upload's, not stored.
    """

    def __init__(self, report: Report, repeated: bool, room: int | None = None) -> None:
        self.report = report
        self._room = room
        self.size_bytes = 0
        self._repeated = repeated
        self._stream = CsvStream(settings.REPORTS_CHUNK_KB * 1024)
        self._digest = hashlib.sha256()
        self._chunks = 0
        self._alive_at = time.monotonic()
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Take the next bytes of the file.

        :raises UploadError: the content can't be used, or the report was deleted meanwhile.
        """
        with self._aborting():
            self.size_bytes += len(data)
            refuse_too_large(self.size_bytes)
            quota.refuse_beyond(self._room, self.size_bytes)
            self._digest.update(data)
            if not self._repeated:
                self._store(self._stream.feed(data))
                self._show_life()

    def finish(self) -> Report:
        """Take the end of the file, hand the report to the workers and return it.

        :raises UploadError: the content can't be used, is another than the key's first, or the
            report was deleted meanwhile; nothing is kept.
        """
        with self._aborting():
            if self._repeated:
                self._compare()
            else:
                self._store(self._stream.close())
                self._hand_over()
        self._is_open = False
        return self.report

    def abort(self) -> None:
        """Forget the upload; does nothing after ``finish()`` or a second time."""
        if self._is_open and not self._repeated:
            Report.objects.filter(pk=self.report.pk, state=Report.State.UPLOADING).delete()
        self._is_open = False

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        if not self._is_open:
            raise UploadInterrupted
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _store(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            try:
                Chunk.objects.create(report=self.report, **vars(block))
            except IntegrityError as error:  # the report is gone, and with it the foreign key
                raise UploadInterrupted from error
            self._chunks += 1
            if settings.DEBUG:
                reset_queries()  # Django would keep the last 9,000, each with a chunk in it

    def _show_life(self) -> None:
        if time.monotonic() - self._alive_at >= SIGN_OF_LIFE:
            self._alive_at = time.monotonic()
            alive: dict[str, Any] = {"active_at": timezone.now()}
            if self.size_bytes > self.report.size_bytes:  # none was announced
                alive |= {"size_bytes": self.size_bytes}
            if not Report.objects.filter(pk=self.report.pk).update(**alive):
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
            uploading = Report.objects.filter(pk=self.report.pk, state=Report.State.UPLOADING)
            if not uploading.update(**fields):
                raise UploadInterrupted
            # One task, however many chunks: the request must not write thousands of them.
            tasks.start_profiling.delay_on_commit(str(self.report.pk))
        self.report.__dict__.update(fields)

    def _compare(self) -> None:
        first = Report.objects.filter(pk=self.report.pk).first()
        if first is None:
            raise UploadInterrupted("The report of this key was deleted. Send the file again.")
        if (first.size_bytes, first.sha256) != (self.size_bytes, self._digest.hexdigest()):
            raise UploadError(
                "idempotency_conflict",
                "This idempotency key was used for a file with another content. "
                "Use a new key for a new file.",
            )
        self.report = first


def refuse_too_large(size_bytes: int) -> None:
    """Raise :class:`UploadError` if a file of *size_bytes* is larger than the settings allow."""
    limit = settings.REPORTS_MAX_UPLOAD_MB
    if size_bytes > limit * 1024 * 1024:
        text = f"The file is larger than {limit} MB, which is the limit here."
        raise UploadError("too_large", text)


def start_upload(
    owner: Any, filename: str, idempotency_key: str | None = None, announced: int = 0
) -> Upload:
    """Begin an upload for the user *owner*.

    The same *idempotency_key* with the same content gives the report of the first upload. A key
    is free again when its upload was refused or its report is deleted.

    :param filename: what the person calls the file; only shown.
    :param idempotency_key: up to 255 characters, or nothing.
    :param announced: the size that the request says, or 0; it is reserved.
    :raises UploadError: an upload with this key is going on, or a limit is reached (quota.py).
    :raises ValueError: the key is too long.
    """
    key = idempotency_key or None
    if key and len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"the idempotency key is longer than {MAX_KEY_LENGTH} characters")
    name = "".join(filter(str.isprintable, filename)).strip()[-255:] or "upload.csv"
    with transaction.atomic():
        # One after the other for each person: two at once would each find the last place free.
        User.objects.select_for_update(no_key=True).filter(pk=owner.pk).exists()
        first = Report.objects.filter(owner=owner, idempotency_key=key).first() if key else None
        if first is None:
            room = quota.reserve(owner, announced)
            fields = {"name": name, "idempotency_key": key, "size_bytes": announced}
            return Upload(Report.objects.create(owner=owner, **fields), repeated=False, room=room)
    if first.state == Report.State.UPLOADING:
        raise UploadError(
            "idempotency_in_progress",
            "An upload with this idempotency key is in progress. Try again when it has ended.",
        )
    return Upload(first, repeated=True)
