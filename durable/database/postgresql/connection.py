"""A psycopg connection that a signal can interrupt in the middle of a query.

A soft time limit is an exception that a signal's handler raises, wherever the task is. psycopg
cancels the query for Ctrl+C and ``sys.exit()`` alone. After any other exception the query went on
in the server, with its locks, and each later one failed: "another command is already in progress".
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import copy_to
from psycopg.pq import PipelineStatus, TransactionStatus

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that the server has to end a query that was interrupted.
CANCEL_TIMEOUT = 5.0


class Connection(psycopg.Connection[Any]):
    """Cancels the query that is interrupted, and can be used again."""

    #: Closed because a query could not be cancelled, and not by the server.
    interrupted = False

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Wait for the server's answer.

        :raises BaseException: what a signal's handler has raised meanwhile.
        """
        try:
            return super().wait(gen, *args, **kwargs)
        except psycopg.Error:
            raise
        except BaseException:
            try:
                if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                    self._end_query(gen)
            finally:
                self.interrupted = self.closed
            raise

    def _end_query(self, gen: Any) -> None:
        if gen.gi_frame is None and self.pgconn.pipeline_status != PipelineStatus.OFF:
            return  # an argument of executemany(), say; the pipeline's end fetches all answers
        try:
            self.cancel_safe(timeout=CANCEL_TIMEOUT)
            super().wait(gen, timeout=CANCEL_TIMEOUT)
        except psycopg.errors.QueryCanceled:
            return
        except BaseException as error:
            logger.warning("a query was interrupted and not cancelled in time: %r", error)
            self.close()
            if not isinstance(error, Exception):
                raise
        # It was interrupted at another place than where it waits for the answer. Not so a COPY that
        # writes: it tells the server of its end by itself.
        active = self.pgconn.transaction_status == TransactionStatus.ACTIVE
        if active and gen.gi_code is not copy_to.__code__:
            self.close()
