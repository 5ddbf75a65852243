"""The transaction that the tasks of a batch share, and an attempt within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery.exceptions import Ignore
from django.db import InternalError, connections, transaction
from psycopg.pq import TransactionStatus

from .. import conf, results, store
from ..caller import calls
from ..worker.attempt import Attempt, Outcome, Phase, Ticket

#: One name for all: a task's is released before the next one's is set. Django's own list of
#: savepoints, by which it drops what waits for the commit, has a name for each.
_SAVEPOINT, _RELEASE = "SAVEPOINT durable_task", "RELEASE SAVEPOINT durable_task"
_ROLLBACK = "ROLLBACK TO SAVEPOINT durable_task"


class Together(Exception):  # noqa: N818 - it says how it goes on
    """The batch can't be committed as it is: each of its tasks runs alone instead."""


class Ended(NamedTuple):
    """What the transaction is to record of a task that has succeeded."""

    row_id: int
    number: int
    values: dict[str, Any] | None  # the result's columns
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
        self._sid = ""
        #: The task has opened a cursor; its savepoint is set; there is one of a task before.
        self._touched = self._has_savepoint = self._has_old = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the transaction; record the ends of all that have succeeded in it.

        :raises Together: an end was taken over, so that effects must be rolled back.
        """
        raw: Any = self.connection.connection
        make = raw.cursor

        def cursor(*args: Any, **kwargs: Any) -> Any:
            self._touched = True
            return make(*args, **kwargs)

        raw.cursor = cursor
        try:
            with (
                self.connection.execute_wrapper(self._before_query),
                transaction.atomic(using=conf.alias(), durable=True),
            ):
                yield
                self._finish()
        finally:
            del raw.cursor

    def _before_query(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Set the savepoint of a task with its first query, and in its round trip."""
        if not self._sid or self._has_savepoint:
            return execute(sql, params, many, context)
        raw = self.connection.connection
        statements = [_RELEASE, _SAVEPOINT] if self._has_old else [_SAVEPOINT]
        self._has_savepoint = self._has_old = True
        with self.connection.wrap_database_errors:
            if many or hasattr(context["cursor"], "name"):  # a cursor of the server's
                for statement in statements:
                    raw.execute(statement)
                return execute(sql, params, many, context)
            with raw.pipeline():
                for statement in statements:
                    raw.execute(statement)
                return execute(sql, params, many, context)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back what is written inside if it raises, and only that.

        What can't be told apart from what others have written sets ``apart``.
        """
        connection = self.connection
        sid = self._sid = f"task_{len(self.ended)}_{id(self):x}"
        self._touched = self._has_savepoint = False
        # From the start: what waits for the commit is dropped with the savepoint as well.
        connection.savepoint_ids.append(sid)
        try:
            yield
            if connection.connection.info.transaction_status == TransactionStatus.INERROR:
                raise InternalError(
                    "a query has failed inside, and its error was caught: PostgreSQL goes on only "
                    "after a rollback. Put a transaction.atomic() around that query"
                )
        except BaseException:
            connection.run_on_commit = [
                entry for entry in connection.run_on_commit if sid not in entry[0]
            ]
            if self._has_savepoint:
                with connection.wrap_database_errors:
                    connection.connection.execute(_ROLLBACK)
            elif self._touched:  # COPY, a cursor of psycopg's own: it went past the savepoint
                self.apart = True
            connection.needs_rollback = False
            raise
        finally:
            connection.savepoint_ids.remove(sid)
            self._sid = ""

    def _finish(self) -> None:
        if not self.ended:
            return
        values = [end.values for end in self.ended if end.values is not None]
        pairs = [(end.row_id, end.number) for end in self.ended]
        if len(store.finish_many(pairs, results.part_of_many(values))) < len(pairs):
            raise Together
        with calls.durable():  # bodies of chords
            for end in sorted(self.ended, key=lambda end: end.group):
                if end.count_part is not None:
                    end.count_part()


class SharedAttempt(Attempt):
    """An attempt whose row was begun with others', and ends with them."""

    def __init__(self, task: Any, ticket: Ticket, batch: Batch) -> None:
        super().__init__(task, ticket)
        self._batch = batch
        self.number, self.phase = ticket.attempt, Phase.RUNNING

    @contextmanager
    def finishing(self) -> Iterator[Outcome]:
        """Everything inside is rolled back together; the end is recorded by the batch."""
        outcome = Outcome()
        with self._batch.savepoint():
            try:
                yield outcome
            except Ignore as ignored:
                outcome.ignored = ignored
            self.end(outcome)
        self.committed(outcome)
        self.leave_nothing_to_celery()
        if outcome.ignored:
            raise outcome.ignored

    def end(self, outcome: Outcome) -> None:
        """Write what comes after, and note what the transaction is to record."""
        if self.retry is not None:
            super().end(outcome)
            return
        request, backend = self.request, self.task.backend
        wanted = self.call_next(outcome)
        values = results.values_of(self.task, outcome.result) if wanted else None
        count = None
        if not outcome.ignored and (request.chord or (wanted and values is None)):
            late = (request.id, outcome.result, request, wanted and values is None)
            count = _Later(backend, late)
        self._batch.ended.append(
            Ended(self.row_id, self.number, values, str(request.group or ""), count)
        )

    def lost_database(self, error: BaseException) -> None:
        """End the batch: its transaction is gone."""
        self._batch.lost = error


class _Later:
    """A result to be stored, or a part of a chord to be counted, once the rows have ended."""

    def __init__(self, backend: Any, arguments: tuple[Any, ...]) -> None:
        task_id, result, request, wanted = arguments
        self._call = backend.mark_as_done
        # Celery's request lives no longer than its task.
        self._arguments = (task_id, result, type(request)(**request.__dict__), wanted)

    def __call__(self) -> None:
        self._call(*self._arguments)
