"""The look of the leading beat; durable/schedules finds this by its name."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import Error
from django.utils import timezone

from . import conf, send, watch

logger = logging.getLogger(__name__)


class _Silence:
    """That the database is away can't stand in its tables: this process remembers it."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._told: set[str] = set()

    def began(self, now: datetime) -> None:
        """Note that nothing can be measured, and say so once it has been long enough."""
        self._since = self._since or now
        if now - self._since >= timedelta(minutes=watch.BY_NAME["NoMetrics"].minutes):
            self._say(send.FIRING, now, set(send.channels()) - self._told)

    def ended(self, now: datetime) -> None:
        """Say that it is over, to those who were told."""
        if self._told:
            self._say(send.RESOLVED, now, set(self._told))
        if not self._told:
            self._since = None

    def _say(self, status: str, now: datetime, channels: set[str]) -> None:
        rule = watch.BY_NAME["NoMetrics"]
        over = status == send.RESOLVED
        since = self._since or now
        message = send.Message(rule.name, status, rule.severity, {}, rule.text({}, 0),
                               rule.runbook, since, now if over else None)  # fmt: skip
        for channel in sorted(channels):
            if send.send(channel, [message]):
                (self._told.discard if over else self._told.add)(channel)


_silence = _Silence()


def once_a_minute(now: datetime | None = None) -> None:
    """Look, say what is due, and ping while all is well."""
    if not conf.asked():
        return
    now = now or timezone.now()
    try:
        found = watch.look(now=now)
        taken = found is None or watch.tell(found, now)
    except Error:
        _silence.began(now)
        raise
    _silence.ended(now)
    if found is not None and taken and watch.is_well(found):
        send.ping()
