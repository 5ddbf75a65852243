"""The leader among several beats: the one whose session in PostgreSQL holds a lock.

An advisory lock of the session, on a connection of its own. When the leader dies, its machine's
kernel closes the connection, and with it goes the lock; when it is frozen or cut off, nothing
closes anything, and PostgreSQL ends a session that has been idle for ``idle_session_timeout``. So
a new leader is there within seconds. A leader that was frozen may go on for a moment in the belief
that it still is one; its ticks then find that the database has moved on (see ticks.py).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from celery.utils.log import get_logger
from django.db import OperationalError, router
from django_celery_beat.models import PeriodicTask

from durable.database import locks
from durable.database.session import connect, labelled

from . import conf

logger = get_logger(__name__)

#: Of the session; each beat has one, those that stand by too.
NAME = "proj-beat-leader"
#: Seconds until it is known that no server answers: of the time that a leader has for its sign.
CONNECT_TIMEOUT = 3


class Leader:
    """This beat's part in the choice of a leader."""

    def __init__(self) -> None:
        self.leads = False
        self._session: psycopg.Connection[Any] | None = None

    def hold(self) -> bool:
        """Give a sign of life; return whether this beat leads now.

        :raises django.db.OperationalError: the database can't be reached. No beat leads then.
        """
        led, was_connected = self.leads, self._session is not None
        try:
            try:
                self.leads = self._ask()
            except psycopg.Error:
                # Ended while this process was frozen, or by a restart: a new session can ask.
                self.close()
                if not was_connected:
                    raise
                self.leads = self._ask()
        except psycopg.Error as error:
            self.close()
            raise OperationalError(f"no session for the leader's lock: {error}") from error
        if self.leads and not led:
            logger.info("beat: this one leads")
        elif led and not self.leads:
            logger.warning("beat: another one leads now, this one stands by")
        return self.leads

    def _ask(self) -> bool:
        first = self._session is None
        if self._session is None:
            self._session = self._connect()
        # Asked and not remembered: through a pooler, the next statement may be another session's.
        cursor = self._session.cursor()
        holder = locks.holder(cursor, locks.LEADER)
        held = holder is not None and holder.is_this
        if self.leads and not held:
            raise psycopg.OperationalError(
                "the lock is gone from its session; if a pooler stands before the database, "
                "BEAT_DATABASE_URL must lead past it"
            )
        leads = held or locks.take(cursor, locks.LEADER)
        if first and not leads:
            logger.info("beat: another one leads, this one stands by")
        return leads

    def _connect(self) -> psycopg.Connection[Any]:
        alias = router.db_for_write(PeriodicTask)
        session = connect(labelled(NAME), alias, timeout=CONNECT_TIMEOUT)
        milliseconds = int(float(conf.get("LEADER_TIMEOUT")) * 1000)
        # Not as an option of the connection, which poolers refuse.
        session.execute(f"SET idle_session_timeout = {milliseconds:d}")
        return session

    def close(self) -> None:
        """Give up the lock and its session."""
        session, self._session, self.leads = self._session, None, False
        if session is not None:
            with suppress(psycopg.Error):
                session.close()
