"""``shared_task`` whose calls are checked by mypy and pyright; Celery itself has no types::

    from durable.queue.typed import task

    @task()
    def charge(pk: int, *, cents: int = 100) -> None: ...

    charge.delay_on_commit("1")  # error: expected "int"

At run time it is ``shared_task``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from celery import shared_task
from celery.canvas import Signature
from celery.result import AsyncResult
from django.db.models import QuerySet

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
A_contra = TypeVar("A_contra", contravariant=True)
B_contra = TypeVar("B_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class TakesOne(Protocol[A_contra]):
    """A task that can be called with one argument alone."""

    def __call__(self, one: A_contra, /) -> Any:
        """Call it as a function."""


class TakesTwo(Protocol[A_contra, B_contra]):
    """A task that can be called with two."""

    def __call__(self, one: A_contra, two: B_contra, /) -> Any:
        """Call it as a function."""


class TakesThree(Protocol[A_contra, B_contra, C_contra]):
    """A task that can be called with three."""

    def __call__(self, one: A_contra, two: B_contra, three: C_contra, /) -> Any:
        """Call it as a function."""


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

    # ``P`` stands in calls alone, so one for each number of arguments. Those of more, and of dicts
    # and querysets, are checked when it is called.
    @overload
    def map_on_commit(
        self, arguments: QuerySet[Any, Any] | Iterable[Mapping[str, Any]], **options: Any
    ) -> int: ...
    @overload
    def map_on_commit(
        self: TakesOne[A], arguments: Iterable[A | tuple[A] | Mapping[str, Any]], **options: Any
    ) -> int: ...
    @overload
    def map_on_commit(
        self: TakesTwo[A, B], arguments: Iterable[tuple[A, B]], **options: Any
    ) -> int: ...
    @overload
    def map_on_commit(
        self: TakesThree[A, B, C], arguments: Iterable[tuple[A, B, C]], **options: Any
    ) -> int: ...
    @overload
    def map_on_commit(
        self, arguments: Iterable[tuple[Any, Any, Any, Any, *tuple[Any, ...]]], **options: Any
    ) -> int: ...
    def map_on_commit(self, arguments: Any, **options: Any) -> int:
        """Call it many times with the transaction."""

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
