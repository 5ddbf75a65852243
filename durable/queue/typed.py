"""``shared_task`` whose calls are checked by mypy and pyright; Celery itself has no types::

    from durable.queue.typed import task

    @task()
    def charge(pk: int, *, cents: int = 100) -> None: ...

    charge.delay_on_commit("1")  # error: expected "int"

At run time it is ``shared_task``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from celery import shared_task
from celery.canvas import Signature
from celery.result import AsyncResult

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class TypedUnique(Protocol[P]):
    """A task whose calls are written once, as a type checker sees it."""

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Call it with the transaction, unless that has been done."""

    def apply_async_on_commit(
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Call it with the transaction, with options, unless that has been done."""


class TypedTask(Protocol[P, R_co]):
    """A task as a type checker sees it: :class:`durable.queue.worker.task.DurableTask`."""

    name: str
    request: Any

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call it as a function."""

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Call it with the transaction."""

    def unique(
        self,
        key: Any = None,
        *,
        while_: Literal["waiting", "unfinished"] | None = None,
        within: timedelta | None = None,
    ) -> TypedUnique[P]:
        """Return it with calls that are written once."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Call it as Celery does."""

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature:
        """Return its call, for a canvas."""

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature:
        """Return its call, which takes no earlier result."""

    def signature(self, args: Any = (), kwargs: Any = None, **options: Any) -> Signature:
        """Return its call, with arguments that nothing checks."""

    # Of the items, no type says that they are the arguments: ``P`` stands in calls alone.
    def map_on_commit(self, arguments: Iterable[Any], **options: Any) -> int:
        """Call it many times with the transaction; the items are checked when it is called."""

    def apply_async_on_commit(
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> AsyncResult:
        """Call it with the transaction, with options."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult:
        """Call it as Celery does, with options."""


@overload
def task(
    *, bind: Literal[True], **options: Any
) -> Callable[[Callable[Concatenate[Any, P], R_co]], TypedTask[P, R_co]]: ...
@overload
def task(
    *, bind: Literal[False] = False, **options: Any
) -> Callable[[Callable[P, R_co]], TypedTask[P, R_co]]: ...
def task(**options: Any) -> Any:
    """Make a task of a function; the options are those of ``shared_task``."""
    return shared_task(**options)
