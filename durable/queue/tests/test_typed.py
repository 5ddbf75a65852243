"""The calls of a typed task are checked: each ``type: ignore`` here is an error that mypy finds.

mypy's ``warn_unused_ignores`` fails where it would find none.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from durable.queue.models import Task as Row
from durable.queue.typed import task
from durable.testing.tasks import Tasks

User = get_user_model()


@task()
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@task(bind=True, max_retries=1)
def add(self: Any, one: int, *, two: int = 0) -> int:
    """Add two numbers."""
    return one + two


@task()
def place(shelf: int, name: str, weight: float = 0) -> int:
    """Return the shelf."""
    return shelf


def test_a_call_that_does_not_fit_is_refused_by_the_type_checker_and_at_run_time(
    tasks: Tasks,
) -> None:
    add.delay_on_commit(1, two=2)
    assert double(2) + 1 == 5
    with pytest.raises(TypeError, match="three"):
        add.delay_on_commit(1, three=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        add.delay_on_commit()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        add.delay_on_commit(1, 2)  # type: ignore[call-arg]
    assert [ran.result for ran in tasks.run()] == [3]


def test_a_wrong_type_is_refused_by_the_type_checker_alone(tasks: Tasks) -> None:
    double.delay_on_commit("a")  # type: ignore[arg-type]
    add.s("a")  # type: ignore[arg-type]
    add.si(1, two="b")  # type: ignore[arg-type]
    assert Row.objects.count() == 1


def test_the_items_of_many_calls_are_checked(tasks: Tasks) -> None:
    assert double.map_on_commit([1, (2,), {"number": 3}]) == 3
    assert double.map_on_commit(User.objects.all()) == 0
    assert double.map_on_commit(User.objects.values_list("pk", flat=True)) == 0
    assert add.map_on_commit(number for number in range(2)) == 2
    assert place.map_on_commit([(1, "a"), (2, "b")], countdown=60) == 2
    assert place.map_on_commit([(1, "a", 0.5)]) == 1
    double.map_on_commit(["a"])  # type: ignore[list-item]
    double.map_on_commit([("a",)])  # type: ignore[list-item]
    place.map_on_commit([("a", 1)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="positional"):
        double.map_on_commit([(1, 2)])  # type: ignore[list-item]
