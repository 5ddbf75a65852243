"""How much one person may keep and send, and how much may wait for the workers in all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from .errors import UploadError
from .models import Report

MB = 1024 * 1024


def reserve(owner: Any, announced: int) -> int | None:
    """Refuse another upload of *owner* beyond a limit; call it with the owner's row locked.

    :param announced: the size of the upload as its request says, or 0.
    :return: how many bytes it may have, or ``None`` for any number.
    :raises UploadError: which limit it is, and what helps.
    """
    _refuse_beyond_all(announced)
    hour_ago = timezone.now() - timedelta(hours=1)
    own = Report.objects.filter(owner_id=owner.pk).aggregate(
        kept=Count("pk"),
        size=Sum("size_bytes", default=0),
        at_once=Count("pk", filter=Q(state=Report.State.UPLOADING)),
        this_hour=Count("pk", filter=Q(created_at__gt=hour_ago)),
    )
    if _reached(own["at_once"], settings.REPORTS_UPLOADS_AT_ONCE):
        text = f"You have {own['at_once']} uploads under way. Wait until one of them has ended."
        raise UploadError("too_many_at_once", text)
    if _reached(own["this_hour"], settings.REPORTS_UPLOADS_PER_HOUR):
        text = f"You sent {own['this_hour']} files within an hour. Try again later."
        raise UploadError("too_many_per_hour", text)
    if _reached(own["kept"], settings.REPORTS_KEPT):
        text = f"You keep {own['kept']} reports, and there is no room for more. Delete some first."
        raise UploadError("too_many_kept", text)
    if not settings.REPORTS_KEPT_MB:
        return None
    room = settings.REPORTS_KEPT_MB * MB - own["size"]
    refuse_beyond(room, announced or 1)
    return int(room)


def refuse_beyond(room: int | None, size_bytes: int) -> None:
    """Raise :class:`UploadError` if the owner has no *room* for a file of *size_bytes*."""
    if room is not None and size_bytes > room:
        text = (
            f"Your reports are of files of {settings.REPORTS_KEPT_MB} MB together at most, "
            "and this one is too much. Delete some first."
        )
        raise UploadError("too_much_kept", text)


def _refuse_beyond_all(announced: int) -> None:
    limit = settings.REPORTS_UNPROCESSED_MB
    if not limit:
        return
    waits = Report.objects.filter(state__in=Report.UNPROCESSED)
    if waits.aggregate(size=Sum("size_bytes", default=0))["size"] + announced > limit * MB:
        text = "Too many files wait to be worked on. Try again in a few minutes."
        raise UploadError("too_much_waits", text)


def _reached(count: int, limit: int) -> bool:
    return 0 < limit <= count
