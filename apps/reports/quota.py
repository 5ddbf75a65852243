"""How much one person may keep and send, and how much may wait for the workers in all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.utils import timezone

from durable.web.uploads import MB, FileError

from .models import Report


def reserve(owner: Any, announced: int) -> int | None:
    """Refuse another upload of *owner* beyond a limit; call it with the owner's row locked.

    :param announced: the size of the upload as its request says, or 0.
    :return: how many bytes it may have, or ``None`` for any number.
    :raises FileError: which limit it is, and what helps.
    """
    waits = Report.objects.filter(state__in=Report.UNPROCESSED)
    waiting = waits.aggregate(size=Sum("size_bytes", default=0))["size"]
    if 0 < settings.REPORTS_UNPROCESSED_MB * MB < waiting + announced:
        text = "Too many files wait to be worked on. Try again in a few minutes."
        raise FileError(503, "too_much_waits", text, retry_after=60)
    hour_ago = timezone.now() - timedelta(hours=1)
    own = Report.objects.filter(owner_id=owner.pk).aggregate(
        kept=Count("pk"),
        size=Sum("size_bytes", default=0),
        at_once=Count("pk", filter=Q(state=Report.State.UPLOADING)),
        this_hour=Count("pk", filter=Q(created_at__gt=hour_ago)),
    )
    if 0 < settings.REPORTS_UPLOADS_AT_ONCE <= own["at_once"]:
        text = f"You have {own['at_once']} uploads under way. Wait until one of them has ended."
        raise FileError(429, "too_many_at_once", text, retry_after=10)
    if 0 < settings.REPORTS_UPLOADS_PER_HOUR <= own["this_hour"]:
        text = f"You sent {own['this_hour']} files within an hour. Try again later."
        raise FileError(429, "too_many_per_hour", text, retry_after=600)
    if 0 < settings.REPORTS_KEPT <= own["kept"]:
        text = f"You keep {own['kept']} reports, and there is no room for more. Delete some first."
        raise FileError(403, "too_many_kept", text)
    room = settings.REPORTS_KEPT_MB * MB - own["size"] if settings.REPORTS_KEPT_MB else None
    refuse_beyond(room, announced or 1)
    return room


def refuse_beyond(room: int | None, size_bytes: int) -> None:
    """Raise :class:`FileError` if the owner has no *room* for a file of *size_bytes*."""
    if room is not None and size_bytes > room:
        text = (
            f"Your reports are of files of {settings.REPORTS_KEPT_MB} MB together at most, "
            "and this one is too much. Delete some first."
        )
        raise FileError(403, "too_much_kept", text)
