"""The result backend: ``CELERY_RESULT_BACKEND=durable.results.backend:DatabaseBackend``.

On django-celery-results' tables, with its admin and its API; ``django-db`` goes back to upstream's.
What differs from upstream (django-celery-results 2.6):

* A database that is away is waited for, on new connections. Upstream retries ``InterfaceError``
  only, and that only if asked to: of 40 tasks that ended while PostgreSQL was down for 12 seconds,
  28 to 30 results were lost, and the tasks counted as done.
* A result that can't be stored is not reported: the message goes back to the broker.
* One prepared ``INSERT ... ON CONFLICT`` instead of a locked SELECT and an UPDATE.
* A task of a chord's header is counted once, however often it is delivered.

PostgreSQL only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from celery import states
from celery.app.task import Context
from celery.exceptions import BackendGetMetaError, BackendStoreError, ChordError, Reject
from celery.result import GroupResult
from celery.utils.functional import regen
from django.db import Error, connections, router
from django_celery_results.backends.database import DatabaseBackend as UpstreamBackend
from kombu.exceptions import EncodeError
from kombu.utils.json import JSONEncoder

from durable.database import background
from durable.database.retry import is_away, persist
from durable.database.statement import compact
from durable.database.text import storable

from . import chords, conf, statement

logger = logging.getLogger(__name__)

_dumps = JSONEncoder().encode
_OF_NO_REQUEST = dict.fromkeys(
    ("task_args", "task_kwargs", "periodic_task_name", "task_name", "worker")
)
#: What Celery makes of a generator that is a chord's header.
_Regen = type(regen(iter(())))


class DatabaseBackend(UpstreamBackend):  # type: ignore[misc]
    """Stores results in PostgreSQL, and waits for it if need be."""

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Store a state and its result; committed on return, unless inside a transaction.

        :raises Reject: the database didn't come back, and a task ends or starts with this: Celery
            hands its message back, and the task runs again.
        """
        encoded = self.encode_result(result, state)
        store = partial(
            self._store, task_id, encoded, state, traceback, request, time.monotonic(), **kwargs
        )
        says = "failed to store result on the backend"  # Celery's own words for it
        failed = partial(BackendStoreError, says, task_id=task_id, state=state)
        try:
            self._wait_for_database(store, writes=True, failed=failed)
        except BackendStoreError as error:
            task = self._task_that_runs_here()
            decisive = state in states.READY_STATES or state == states.STARTED
            if decisive and task and task.request.id == task_id:
                raise Reject(error, requeue=True) from error
            raise
        return encoded

    def _store(
        self,
        task_id: str,
        result: Any,
        status: str,
        traceback: Any,
        request: Any,
        since: float,
        using: str | None = None,
    ) -> None:
        waited = time.monotonic() - since
        statement.store(
            using or router.db_for_write(self.TaskModel),
            self.TaskModel._meta.db_table,
            self._values(task_id, result, status, traceback, request),
            # A retry is called before it is stored as such: it may have ended by now.
            # A broadcast revoke has no request; it may have looked before a chord failed its body.
            outdated=status == states.RETRY
            or (status == states.REVOKED and request is None)
            or (waited > conf.SHORT and status not in states.READY_STATES),
        )

    def _values(
        self, task_id: str, result: Any, status: str, traceback: Any, request: Any
    ) -> dict[str, Any]:
        """Return what ``statement.sql()`` stores.

        :raises kombu.exceptions.EncodeError: the result is too large. The task has failed by that.
        """
        content_type, content_encoding, result = self.encode_content(result)
        if status not in states.EXCEPTION_STATES:
            _refuse_too_large(task_id, len(result or ""))
        traceback = storable(traceback) if traceback else traceback
        context = request or getattr(self.app.current_task, "request", None)
        meta = {
            **getattr(context, "meta", {}),
            "children": self.current_task_children(request),
        }
        return {
            "task_id": task_id,
            "status": status,
            "content_type": content_type,
            "content_encoding": content_encoding,
            "result": result,
            "meta": self.encode_content(meta)[2],
            **self._of_request(request, traceback),
            "started": status == states.STARTED,
            "outdated": False,
        }

    def _of_request(self, request: Any, traceback: Any) -> dict[str, Any]:
        """Return what is stored of a request, with ``CELERY_RESULT_EXTENDED``."""
        if not request or not self._extended:
            return {**_OF_NO_REQUEST, "traceback": traceback}
        found: dict[str, Any] = {}
        for name in ("args", "kwargs"):
            shown = getattr(request, f"{name}repr", None)
            value = getattr(request, name, None) if shown is None else shown
            found[f"task_{name}"] = None if value is None else self.encode_content(value)[2]
        worker = getattr(request, "hostname", None)
        return {
            **found,
            "traceback": traceback,
            "periodic_task_name": getattr(request, "periodic_task_name", None),
            "task_name": getattr(request, "task", None),
            "worker": worker and worker[: self._longest_worker],
        }

    @cached_property
    def _extended(self) -> bool:
        """``CELERY_RESULT_EXTENDED``; asked for each task, which takes Celery a while."""
        return bool(self.app.conf.result_extended)

    @cached_property
    def _longest_worker(self) -> int:
        """How long a name the column holds; that of a machine may be longer."""
        return int(self.TaskModel._meta.get_field("worker").max_length)

    def encode_content(self, data: Any) -> tuple[str, str, Any]:
        """Return content type, encoding and text; as JSON without kombu's way to it."""
        if self.serializer == "json":
            try:
                return "application/json", "utf-8", _dumps(data)
            except Exception:  # another encoder may know it, or says what is wrong
                logger.debug("kombu encodes a %s", type(data))
        encoded: tuple[str, str, Any] = super().encode_content(data)
        return encoded

    def part_of_statement(
        self, source: str, task_id: str, result: Any, state: str, request: Any
    ) -> tuple[str, dict[str, Any]]:
        """Return the statement that stores a result, and its values, to become part of another one.

        One round trip less for a caller that writes into the same database anyway.

        :param source: a query of that other statement; nothing is stored unless it has a row.
        :raises kombu.exceptions.EncodeError: JSON can't hold the result.
        """
        values = self._values(task_id, self.encode_result(result, state), state, None, request)
        alias = router.db_for_write(self.TaskModel)
        table = connections[alias].ops.quote_name(self.TaskModel._meta.db_table)
        return statement.sql(table, source), values

    def columns_of(self, task_id: str, result: Any, state: str, request: Any) -> dict[str, Any]:
        """Return what ``part_of_many()`` stores for one task.

        :raises kombu.exceptions.EncodeError: JSON can't hold the result.
        """
        return self._values(task_id, self.encode_result(result, state), state, None, request)

    def part_of_many(self, rows: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Return the statement that stores many results, and its values, as part of another one."""
        alias = router.db_for_write(self.TaskModel)
        table = connections[alias].ops.quote_name(self.TaskModel._meta.db_table)
        columns = {name: [row[name] for row in rows] for name in statement.COLUMNS}
        values, varying = compact(columns, {"task_id"})
        sql = statement.sql_of_many(table, varying)
        return sql, {f"all_{name}": value for name, value in values.items()}

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store the result of a task, and count it if it is part of a chord."""
        if store_result and not (request and request.ignore_result):
            self.store_result(task_id, result, state, request=request)
        if request and request.chord:
            self.on_chord_part_return(request, state, result, task_id=task_id)

    def mark_as_failure(
        self, task_id: str, exc: Any, *args: Any, request: Any = None, **kwargs: Any
    ) -> None:
        """Store the failure of a task, and let what would have come after it in its chain fail.

        Upstream leaves out the tasks of a group at the chain's end (celery#6437): a caller that
        waits for them would wait for ever.
        """
        super().mark_as_failure(task_id, exc, *args, request=request, **kwargs)
        chain = getattr(request, "chain", None)  # an unknown task's request has none
        if not isinstance(chain, list) or not chain or not kwargs.get("store_result", True):
            return
        if chain[0].get("task") == "celery.group":
            self._fail_parts(chain[0], exc, states.FAILURE)  # the last comes first

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Begin to count the tasks of a header, which is about to be sent.

        A generator isn't read whole first: its tasks start while it makes the others.
        """
        if isinstance(header_result_args, GroupResult):  # a caller of before Celery 5.1
            header_result_args = header_result_args.id, header_result_args.results
        group_id, header = header_result_args
        chords.begin(group_id, None if isinstance(header, _Regen) else header)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Close the header of a chord, whose last task is about to be sent."""
        self._wait_for_database(partial(chords.close, group_id, chord_size), writes=True)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Let the body wait for one more task, for ``Task.add_to_chord()``."""
        self._wait_for_database(partial(chords.add_part, chord_id, result), writes=True)

    def on_chord_part_return(
        self, request: Any, state: Any, result: Any, task_id: str | None = None, **kwargs: Any
    ) -> None:
        """Count a task of a chord's header, once, and call the chord's body with the last one."""
        if getattr(request, "subtask_type", None) == "group":
            # The end of a chain that has failed before; upstream takes it for one task.
            self._fail_parts(vars(request), result, state)
            return
        task_id, group_id = task_id or request.id, request.group
        if task_id and group_id:
            # A number only of a header's own tasks: others, as Task.add_to_chord()'s, have none.
            position = request.group_index if isinstance(request.group_index, int) else None
            count = partial(chords.count_part, self.app, group_id, task_id, request.chord, position)
            self._wait_for_database(count, writes=True)

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """Return what is stored of a task."""
        call = partial(super().get_task_meta, task_id, cache=cache)
        failed = partial(BackendGetMetaError, "failed to get meta", task_id=task_id)
        return self._wait_for_database(call, failed=failed)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Let the body of a chord fail, and with it the chord that it is a part of.

        Upstream stores the failure and leaves it at that: the outer chord would wait for ever.
        """
        found = super().chord_error_from_stack(chords.without_outer_errbacks(callback), exc)
        self._fail_parts(callback, exc, states.FAILURE)
        return found

    def _fail_parts(self, signature: Any, exc: Any, state: str) -> None:
        for part in chords.parts_of(signature, self.app):
            options, chord = part.options, part.options.get("chord")
            if not part.id:
                continue
            if self.get_state(part.id) not in states.READY_STATES:
                self.store_result(part.id, exc, state)
            if chord:
                request = Context(id=part.id, group=options.get("group_id"), chord=chord)
                self.on_chord_part_return(request, state, exc)

    def wait_for_pending(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for a result; of a chord's body that was not called, raise the header's own error.

        As on Redis, where the waiting caller hears of the header first.
        """
        try:
            return super().wait_for_pending(result, *args, **kwargs)
        except ChordError:
            if on_interval := kwargs.get("on_interval"):
                on_interval()
            raise

    def get_group_meta(self, group_id: str, cache: bool = True) -> Any:
        """Return what is stored of a group."""
        return self._wait_for_database(partial(super().get_group_meta, group_id, cache=cache))

    def save_group(self, group_id: str, result: Any) -> Any:
        """Store a group."""
        return self._wait_for_database(partial(super().save_group, group_id, result))

    def delete_group(self, group_id: str) -> None:
        """Delete a group."""
        self._wait_for_database(partial(super().delete_group, group_id))

    def forget(self, task_id: str) -> None:
        """Delete what is stored of a task."""
        self._wait_for_database(partial(super().forget, task_id))

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """Return no, also for ``result_backend_always_retry``: the wait here is the only one."""
        return False

    def _wait_for_database(
        self,
        call: Callable[[], Any],
        *,
        writes: bool = False,
        failed: Callable[[], Exception] | None = None,
    ) -> Any:
        """Return what *call* returns; wait for a database that is away, as long as the caller can.

        A task has nothing else to do, and waits long. Others have, and wait ``SHORT`` seconds: a
        request, a worker's main process, where a *call* that writes goes on aside (see
        background.py). What is written inside of a transaction is a part of that.

        :param failed: makes the error that is raised in the end, in place of Django's.
        """
        aliases = {router.db_for_write(self.TaskModel), router.db_for_read(self.TaskModel)}
        task = self._task_that_runs_here()
        in_transaction = any(connections[alias].in_atomic_block for alias in aliases)
        on_the_loop = not task and not in_transaction and background.is_event_loop()
        patience = conf.get("PATIENCE") if task or (on_the_loop and writes) else conf.SHORT
        persistent = partial(persist, call, patience, aliases)
        try:
            if on_the_loop:
                return background.run(persistent, conf.SHORT, goes_on=writes)
            return persistent()
        except (Error, TimeoutError) as error:
            if not is_away(error) and not isinstance(error, TimeoutError):
                raise
            # The owner of a transaction must see what broke it.
            if not failed or in_transaction:
                raise
            raise failed() from error

    def _task_that_runs_here(self) -> Any:
        """Return the task that this thread of a worker runs."""
        task = self.app.current_worker_task
        return task if task and not task.request.is_eager else None


def _refuse_too_large(task_id: str, size: int) -> None:
    most = conf.get("MAX_BYTES")
    if most and size > most:
        raise EncodeError(
            f"the result of {task_id} has {size} bytes, and RESULTS_MAX_BYTES allows {most}: store "
            "it in a table or a file and return its id, call the task with ignore_result=True, or "
            "raise RESULTS_MAX_BYTES"
        )
