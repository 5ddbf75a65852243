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

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import states
from celery.app.task import Context
from celery.backends.base import _is_request_ignore_result
from celery.exceptions import BackendStoreError, ChordError, Reject
from celery.utils.functional import _regen
from django.db import Error, connections, router
from django_celery_results.backends.database import DatabaseBackend as UpstreamBackend

from durable.database import background
from durable.database.retry import is_away, persist
from durable.database.text import storable

from . import chords, conf, statement


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
        kwargs["since"] = time.monotonic()
        try:
            return super().store_result(task_id, result, state, traceback, request, **kwargs)
        except BackendStoreError as error:
            task = self._task_that_runs_here()
            decisive = state in states.READY_STATES or state == states.STARTED
            if decisive and task and task.request.id == task_id:
                raise Reject(error, requeue=True) from error
            raise

    def _store_result(
        self,
        task_id: str,
        result: Any,
        status: str,
        traceback: Any = None,
        request: Any = None,
        using: str | None = None,
        since: float | None = None,
    ) -> Any:
        waited = time.monotonic() - since if since is not None else 0.0
        values = self._values(task_id, result, status, traceback, request)
        statement.store(
            using or router.db_for_write(self.TaskModel),
            self.TaskModel._meta.db_table,
            values,
            # A retry is called before it is stored as such: it may have ended by now.
            # A broadcast revoke has no request; it may have looked before a chord failed its body.
            outdated=status == states.RETRY
            or (status == states.REVOKED and request is None)
            or (waited > conf.SHORT and status not in states.READY_STATES),
        )
        return values["result"]

    def _values(
        self, task_id: str, result: Any, status: str, traceback: Any, request: Any
    ) -> dict[str, Any]:
        """Return what ``statement.sql()`` stores."""
        content_type, content_encoding, result = self.encode_content(result)
        traceback = storable(traceback) if traceback else traceback
        meta = {
            **self._get_meta_from_request(request),
            "children": self.current_task_children(request),
        }
        more = self._get_extended_properties(request, traceback)
        if more["worker"]:  # the name of a machine may be longer than the column
            more["worker"] = more["worker"][: self.TaskModel._meta.get_field("worker").max_length]
        return {
            "task_id": task_id,
            "status": status,
            "content_type": content_type,
            "content_encoding": content_encoding,
            "result": result,
            "meta": self.encode_content(meta)[2],
            **more,
            "traceback": traceback,
            "started": status == states.STARTED,
            "outdated": False,
        }

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
        values = {f"all_{name}": [row[name] for row in rows] for name in statement.COLUMNS}
        return statement.sql_of_many(table), values

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:
        """Store the result of a task, and count it if it is part of a chord."""
        if store_result and not _is_request_ignore_result(request):
            self.store_result(task_id, result, state, request=request)
        if request and request.chord:
            self.on_chord_part_return(request, state, result, task_id=task_id)

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Begin to count the tasks of a header, which is about to be sent.

        A generator isn't read whole first: its tasks start while it makes the others.
        """
        group_id, header = header_result_args
        chords.begin(group_id, None if isinstance(header, _regen) else header)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Close the header of a chord, whose last task is about to be sent."""
        self._ensure_retryable(chords.close, group_id, chord_size)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Let the body wait for one more task, for ``Task.add_to_chord()``."""
        self._ensure_retryable(chords.add_part, chord_id, result)

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
            self._ensure_retryable(self._count_part, group_id, task_id, request)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Let the body of a chord fail, and with it the chord that it is a part of.

        Upstream stores the failure and leaves it at that: the outer chord would wait for ever.
        """
        found = super().chord_error_from_stack(callback, exc)
        self._fail_parts(callback, exc, states.FAILURE)
        return found

    def _fail_parts(self, signature: Any, exc: Any, state: str) -> None:
        for part in chords.parts_of(signature, self.app):
            options, chord = part.options, part.options.get("chord")
            if chord and part.id:
                if self.get_state(part.id) not in states.READY_STATES:
                    self.store_result(part.id, exc, state)
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

    def _count_part(self, group_id: str, task_id: str, request: Any) -> None:
        chords.count_part(self.app, group_id, task_id, request.chord, request.group_index)

    def _save_group(self, group_id: str, result: Any) -> Any:
        return self._ensure_retryable(super()._save_group, group_id, result)

    def _delete_group(self, group_id: str) -> None:
        self._ensure_retryable(super()._delete_group, group_id)

    def _ensure_retryable(
        self,
        func: Callable[..., Any],
        *args: Any,
        fallback_exc: Callable[..., Exception] | None = None,
        fallback_msg: str | None = None,
        max_retries: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call *func*; wait for a database that is away, for as long as the caller can.

        Celery's own counts tries instead, without end by default, and is off by default. A task
        has nothing else to do, and waits long. Others have, and wait ``SHORT`` seconds: a request,
        a worker's main process, where *func* goes on aside (see background.py) if it writes.
        """
        aliases = {router.db_for_write(self.TaskModel), router.db_for_read(self.TaskModel)}
        writes = func.__name__ in {"_store_result", "_count_part"}
        task = self._task_that_runs_here()
        on_the_loop = not task and background.is_event_loop()
        patience = conf.get("PATIENCE") if task or (on_the_loop and writes) else conf.SHORT
        call = partial(persist, partial(func, *args, **kwargs), patience, aliases)
        try:
            return background.run(call, conf.SHORT, goes_on=writes) if on_the_loop else call()
        except (Error, TimeoutError) as error:
            if not is_away(error) and not isinstance(error, TimeoutError):
                raise
            # Whoever began a transaction must see what broke it.
            if not fallback_exc or any(connections[alias].in_atomic_block for alias in aliases):
                raise
            raise fallback_exc(fallback_msg) from error

    def _task_that_runs_here(self) -> Any:
        """Return the task that this thread of a worker runs."""
        task = self.app.current_worker_task
        return task if task and not task.request.is_eager else None
