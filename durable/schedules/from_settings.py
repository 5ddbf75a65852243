"""``CELERY_BEAT_SCHEDULE``, written into the tables as each beat starts."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

from celery import current_app
from celery.utils.log import get_logger
from celery.utils.time import maybe_make_aware, maybe_timedelta
from django.db import DataError, Error, IntegrityError, NotSupportedError, ProgrammingError
from django_celery_beat.models import PeriodicTask

from .entry import Entry

logger = get_logger(__name__)

#: What the database raises about the values that it is given. Anything else may pass: it is away,
#: only reads, or another session holds a lock.
_ITS_OWN = (DataError, IntegrityError, ProgrammingError, NotSupportedError)


def write(mapping: dict[str, dict[str, Any]], entry_class: type[Entry]) -> None:
    """Write what is new or has changed in *mapping*; name what is wrong, and go on.

    One that has never run counts from its last change: if each start were one, a weekly task of a
    site that is updated more often would never run.

    :raises django.db.Error: the database can't be written now; it must be done again.
    """
    for name, given in mapping.items():
        try:
            fields = entry_class._unpack_fields(**_with_expiry(given))
            row = PeriodicTask.objects.filter(name=name).first()
            if row and all(getattr(row, key) == value for key, value in fields.items()):
                continue
            PeriodicTask.objects.update_or_create(name=name, defaults=fields)
        except Exception as error:
            if isinstance(error, Error) and not isinstance(error, _ITS_OWN):
                raise
            logger.exception("beat: %r in CELERY_BEAT_SCHEDULE is wrong: %s", name, error)


def _with_expiry(given: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of ``CELERY_BEAT_SCHEDULE`` whose option ``expires`` is as the row has it.

    Celery's documentation names it like that, for seconds, a ``timedelta`` or a ``datetime`` (of
    ``CELERY_TIMEZONE``, if it names no other); upstream drops it. The row has two fields for it, of
    which the date goes first, so the one that was not given is emptied.
    """
    options = dict(given.get("options") or {})
    expires = options.pop("expires", None)
    fields: dict[str, Any] = {}
    if isinstance(expires, datetime):
        fields["expires"] = maybe_make_aware(expires, current_app.timezone, naive_as_utc=False)
    elif expires is not None:
        options.setdefault("expire_seconds", ceil(maybe_timedelta(expires).total_seconds()))
        fields["expires"] = None
    return {**fields, **given, "options": options}
