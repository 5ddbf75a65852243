"""The transaction that the tasks of a batch share, and an attempt within it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from django.db import InternalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import ClientCursor
from psycopg.errors import InvalidSavepointSpecification
from psycopg.pq import TransactionStatus

from durable.database.outage import is_conflict
from durable.journal.entry import End

from .. import conf, results, store
from ..caller import calls
from ..worker.attempt import Attempt, Outcome, Superseded, ended_by
from ..worker.ticket import Ticket

logger = logging.getLogger(__name__)

#: Two names in turn: if a query can't be parsed, nothing that goes with it was done, and the
#: savepoint of the task before must not pass for this one's. Django's own list of savepoints, by
#: which it drops what waits for the commit, has a name for each.
_NAMES = ("durable_even", "durable_odd")


class Together(Exception):  # noqa: N818 - it says how it goes on
    """The batch can't be committed as it is: each of its tasks runs alone instead."""


class Ended(NamedTuple):
    """The record of a task that has succeeded."""

    row_id: int
    number: int
    values: dict[str, Any] | None  # the result's columns
    end: End | None  # for the journal
    #: Counts it as a part of its chord; in the order of the groups, as all batches lock them.
    group: str
    count_part: Callable[[], None] | None


class Batch:
    """One transaction for many tasks; it is open from the first to the last."""

    def __init__(self) -> None:
        self.connection: Any = connections[conf.alias()]
        self.ended: list[Ended] = []
        self.lost: BaseException | None = None  # the database is away
        self.apart = False  # nothing of it can be kept: its tasks must run one by one
        self._on_commit: list[Any] = []
        self._tasks, self._sid = 0, ""
        self._cursors = 0  # that the task has opened
        self._loose = False  # it went past its savepoint: COPY, a cursor of psycopg's own
        self._has_savepoint = False  # one stands before what the task does
        self._old = ""  # the newest savepoint, of whichever task

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the transaction; record the ends of all that have succeeded in it.

        :raises Together: an end was taken over, so that effects must be rolled back.
        """
        connection = self.connection
        connection.ensure_connection()
        raw: Any = connection.connection
        make = raw.cursor

        def cursor(*args: Any, **kwargs: Any) -> Any:
            self._cursors += 1
            return make(*args, **kwargs)

        raw.cursor = cursor
        try:
            with (
                connection.execute_wrapper(self._before_query),
                transaction.atomic(using=conf.alias(), durable=True),
            ):
                yield
                self._finish()
                # Django would stop at the first one that raises, and it may be of any task.
                self._on_commit, connection.run_on_commit = connection.run_on_commit, []
        finally:
            del raw.cursor

    def check(self) -> None:
        """Raise what ends the batch, if its last task has."""
        if self.lost is not None:
            raise self.lost
        if self.apart:
            raise Together

    def call_on_commit(self) -> None:
        """Call what waits for the commit; the tasks have succeeded, whatever it raises."""
        for _, call, *_ in self._on_commit:
            try:
                call()
            except Exception:
                logger.exception("an on_commit() callback raised after its task had finished")

    def _before_query(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Set the savepoint of a task with its first query, and in its round trip."""
        if not self._sid or self._has_savepoint:
            return execute(sql, params, many, context)
        cursor = context["cursor"]
        # Django has opened one for this query; statement.run_prepared() goes by itself.
        self._loose = self._cursors > isinstance(cursor, CursorWrapper)
        statements = [f"SAVEPOINT {_NAMES[self._tasks % 2]}"]
        if self._old:
            statements.insert(0, f"RELEASE SAVEPOINT {self._old}")
        self._has_savepoint, self._old = True, _NAMES[self._tasks % 2]
        if type(sql) is str and not many and _binds_here(cursor):
            result = execute("; ".join([*statements, sql]), params, many, context)
            for _ in statements:  # not through Django's, which minds the errors of a query
                cursor.cursor.nextset()
            return result
        with self.connection.wrap_database_errors:
            self.connection.connection.execute("; ".join(statements))
        return execute(sql, params, many, context)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back what is written inside if it raises, and only that.

        What can't be told apart from what others have written sets ``apart``.
        """
        connection = self.connection
        self._tasks += 1
        sid = self._sid = f"task_{self._tasks}"
        self._cursors, self._loose, self._has_savepoint = 0, False, False
        before = len(self.ended)
        # From the start: what waits for the commit is dropped with the savepoint as well.
        connection.savepoint_ids.append(sid)
        try:
            yield
            connection.validate_no_broken_transaction()
            if self._status() == TransactionStatus.INERROR:
                raise InternalError(
                    "a query has failed inside, and its error was caught: PostgreSQL goes on only "
                    "after a rollback. Put a transaction.atomic() around that query"
                )
        except BaseException as error:
            del self.ended[before:]
            connection.run_on_commit = [
                entry for entry in connection.run_on_commit if sid not in entry[0]
            ]
            if self._status() == TransactionStatus.ACTIVE:  # a soft time limit, in a query
                with suppress(Exception):  # or it would hold its locks until it has ended
                    connection.connection.cancel_safe(timeout=5)
            in_order = self._status() in (TransactionStatus.INTRANS, TransactionStatus.INERROR)
            loose = self._loose if self._has_savepoint else self._cursors > 0
            if loose or not in_order or is_conflict(error):  # by what its neighbors have locked
                self.apart = True
            elif self._has_savepoint:
                self.apart = not self._roll_back()
            connection.needs_rollback = False
            raise
        finally:
            connection.savepoint_ids.remove(sid)
            self._sid = ""

    def _roll_back(self) -> bool:
        """Undo what the task has written; return whether its savepoint was there."""
        with self.connection.wrap_database_errors:
            try:
                self.connection.connection.execute(f"ROLLBACK TO SAVEPOINT {self._old}")
            except InvalidSavepointSpecification:  # its first query could not be parsed
                return False
        return True

    def _status(self) -> TransactionStatus:
        raw = self.connection.connection
        return TransactionStatus.UNKNOWN if raw is None else raw.info.transaction_status

    def _finish(self) -> None:
        if not self.ended:
            return
        values = [end.values for end in self.ended if end.values is not None]
        pairs = [(end.row_id, end.number) for end in self.ended]
        ends = [(end.row_id, end.end) for end in self.ended]
        if len(store.finish_many(pairs, results.part_of_many(values), ends)) < len(pairs):
            raise Together
        with calls.durable():  # bodies of chords
            for end in sorted(self.ended, key=lambda end: end.group):
                if end.count_part is not None:
                    end.count_part()


def _binds_here(cursor: Any) -> bool:
    """Return whether a query goes out as one text, and others can stand before it."""
    return isinstance(cursor, CursorWrapper) and isinstance(cursor.cursor, ClientCursor)


class SharedAttempt(Attempt):
    """An attempt whose row was begun with others', and ends with them."""

    def __init__(self, task: Any, ticket: Ticket, batch: Batch, request: Any = None) -> None:
        super().__init__(task, ticket, request)
        self._batch = batch

    def transaction(self) -> AbstractContextManager[None]:
        """Return what is rolled back together; the end is recorded by the batch."""
        return self._batch.savepoint()

    def end(self, outcome: Outcome) -> None:
        """Write what comes after, and note what the transaction is to record."""
        if self.retry is not None:
            super().end(outcome)
            return
        request = self.request
        wanted = self.call_next(outcome)
        values = results.values_of(self.task, request, outcome.result) if wanted else None
        end = ended_by(self.task, request, outcome, values)
        count, by_itself = None, wanted and values is None
        if not outcome.ignored and (request.chord or by_itself):
            # Celery's request lives no longer than its task.
            kept = type(request)(**request.__dict__)
            mark = self.task.backend.mark_as_done
            count = partial(mark, request.id, outcome.result, kept, by_itself)
        self._batch.ended.append(
            Ended(self.row_id, self.number, values, end, str(request.group or ""), count)
        )

    def end_by(self, ending: Any) -> None:
        """Record how the task ended, unless it is to run again by itself.

        :raises Superseded: it is.
        """
        if self._batch.apart:
            raise Superseded(f"{self.task.name}[{self.request.id}] runs once more, alone")
        super().end_by(ending)

    def lost_database(self, error: BaseException) -> Superseded:
        """End the batch: its transaction is gone."""
        self._batch.lost = error
        return Superseded(f"{self.task.name}[{self.request.id}]: the database went away")
