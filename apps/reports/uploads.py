"""Stores an upload while it arrives, chunk by chunk, and hands it to the workers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, reset_queries, transaction
from django.http import HttpRequest
from django.utils import timezone

from durable.web.uploads import MB, FileError, Interrupted, Receiver, receiving

from . import quota, tasks
from .csvstream import CsvStream
from .models import Chunk, Report

#: A slow upload shows that it lives this often, in seconds; see tasks.delete_old.
SIGN_OF_LIFE = 30


class Upload:
    """One upload: ``write()`` the bytes as they come, then ``finish()`` or ``abort()``.

    Each chunk is committed in a short transaction of its own, so that a slow upload holds neither
    a transaction nor more memory than a chunk. Made by :func:`start_upload`.

    :param is_known: of the same key, so its content is compared with the first one's, not stored.
    :param room: bytes that its owner may still keep, or ``None`` for any number.
    """

    def __init__(self, report: Report, is_known: bool, room: int | None = None) -> None:
        self.report = report
        self._is_known, self._room = is_known, room
        self._stream = CsvStream(settings.REPORTS_CHUNK_KB * 1024)
        self._digest = hashlib.sha256()
        self._size = self._chunks = 0
        self._alive_at = time.monotonic()

    def write(self, data: bytes) -> None:
        """Take the next bytes of the file.

        :raises FileError: the content can't be used, or the report was deleted meanwhile.
        """
        self._size += len(data)
        quota.refuse_beyond(self._room, self._size)
        self._digest.update(data)
        if self._is_known:
            return
        self._store(self._stream.feed(data))
        if time.monotonic() - self._alive_at >= SIGN_OF_LIFE:
            self._alive_at = time.monotonic()
            self._update(
                active_at=timezone.now(), size_bytes=max(self._size, self.report.size_bytes)
            )

    def finish(self) -> Report:
        """Take the end of the file, hand the report to the workers and return it.

        :raises FileError: the content can't be used, is another than the key's first, or the
            report was deleted meanwhile.
        """
        content = {"size_bytes": self._size, "sha256": self._digest.hexdigest()}
        if self._is_known:
            if any(getattr(self.report, name) != value for name, value in content.items()):
                text = (
                    "This idempotency key was used for a file with another content. "
                    "Use a new key for a new file."
                )
                raise FileError(422, "idempotency_conflict", text)
            return self.report
        self._store(self._stream.close())
        with transaction.atomic():
            self._update(
                state=Report.State.PROCESSING,
                delimiter=self._stream.delimiter,
                columns=self._stream.columns,
                rows=self._stream.rows,
                chunks_total=self._chunks,
                **content,
            )
            own = str(self.report.pk)
            tasks.profile_chunk.map_on_commit((own, number) for number in range(self._chunks))
        return self.report

    def abort(self) -> None:
        """Forget the upload; does nothing after ``finish()`` or a second time."""
        Report.objects.filter(pk=self.report.pk, state=Report.State.UPLOADING).delete()

    def _store(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            try:
                Chunk.objects.create(report=self.report, number=self._chunks, data=block)
            except IntegrityError as error:  # the report is gone, and with it the foreign key
                raise Interrupted from error
            self._chunks += 1
            if settings.DEBUG:
                reset_queries()  # Django would keep the last 9,000, each with a chunk in it

    def _update(self, **fields: Any) -> None:
        uploading = Report.objects.filter(pk=self.report.pk, state=Report.State.UPLOADING)
        if not uploading.update(**fields):
            raise Interrupted
        vars(self.report).update(fields)


def start_upload(owner: Any, filename: str, announced: int = 0, key: str | None = None) -> Upload:
    """Begin an upload for the user *owner*.

    :param filename: of the person's own; only shown.
    :param announced: the size that the request says, or 0; it is reserved.
    :param key: of idempotency, or nothing: the same one with the same content gives the report of
        the first upload. It is free again when that was refused or its report is deleted.
    :raises FileError: an upload with this key is going on, or a limit is reached (quota.py).
    """
    name = "".join(filter(str.isprintable, filename)).strip()[-255:] or "upload.csv"
    with transaction.atomic():
        # One after the other for each person: two at once would each find the last place free.
        User.objects.select_for_update(no_key=True).filter(pk=owner.pk).exists()
        first = Report.objects.filter(owner=owner, idempotency_key=key).first() if key else None
        if first is None:
            room = quota.reserve(owner, announced)
            # Of one that doesn't say how large it is: all that it may be, or several at once have
            # the same room.
            most = settings.REPORTS_MAX_UPLOAD_MB * MB
            size = announced or (most if room is None else min(room, most))
            fields = {"name": name, "idempotency_key": key or None, "size_bytes": size}
            return Upload(Report.objects.create(owner=owner, **fields), is_known=False, room=room)
    if first.state == Report.State.UPLOADING:
        text = "An upload with this idempotency key is in progress. Try again when it has ended."
        raise FileError(409, "idempotency_in_progress", text)
    return Upload(first, is_known=True)


def receive(
    request: HttpRequest, key: str | None = None
) -> AbstractContextManager[Receiver[Report]]:
    """Receive the request's file, by streaming, for its user."""
    sink = partial(start_upload, request.user, key=key)
    return receiving(request, sink, most_mb=settings.REPORTS_MAX_UPLOAD_MB)
