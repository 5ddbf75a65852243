"""Chords within chords, groups and chains end as on Redis, by a message and by a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord, group, states
from celery.exceptions import ChordError
from celery.result import AsyncResult
from django_celery_results.models import ChordCounter, TaskResult

from durable.queue.caller.calls import durable, plain
from tests.durable_tasks import effects
from tests.fixtures_worker import PATIENCE, StartRole, wait_for

from .chord_tasks import UnspeakableError, adds, collect, fail, fail_unspeakably, say, told

pytestmark = pytest.mark.django_db(transaction=True)

two = [say.s(1), say.s(2)]


def canvases() -> dict[str, tuple[Any, Any]]:
    """Return chords, and what each of them is to return or raise."""
    failed = chord([say.s(1), fail.s()], collect.s())
    return {
        "a chain that ends in a group": (
            chord([chain(say.s(1), group(say.s(2), say.s(3))), say.s(4)], collect.s()),
            [[2, 3], 4],
        ),
        "only one": (chord([chain(say.s(1), group(say.s(2), say.s(3)))], collect.s()), [[2, 3]]),
        "a chain that ends in a chord": (
            chord([chain(say.s(1), chord(list(two), collect.s())), say.s(4)], collect.s()),
            [[1, 2], 4],
        ),
        "a chord whose body is a group": (
            chord([chord(list(two), group(say.s(5), say.s(6))), say.s(4)], collect.s()),
            [[5, 6], 4],
        ),
        "a task that adds others": (chord([adds.s(), say.s(4)], collect.s()), [1, 4, 2, 3]),
        "a generator": (chord((say.s(n) for n in range(3)), collect.s()), [0, 1, 2]),
        "a generator of chains": (
            chord((chain(say.s(0), group(say.s(7), say.s(8))) for _ in range(2)), collect.s()),
            [7, 7, 8, 8],  # by their places in the groups; of one place, as they came
        ),
        "a task that fails": (failed, LookupError),
        "a task whose error has no repr": (
            chord([fail_unspeakably.s()], collect.s()),
            UnspeakableError,
        ),
        "a chord that fails": (chord([failed, say.s(4)], collect.s()), ChordError),
        "one in one": (chord([chord([failed], say.s()), say.s(4)], collect.s()), ChordError),
        "a chord that fails, with a chain for its body": (
            chord([chord([fail.s()], chain(collect.s(), say.s())), say.s(4)], collect.s()),
            ChordError,
        ),
        "a chord that fails, with a group for its body": (
            chord([chord([fail.s()], group(say.s(5), say.s(6))), say.s(4)], collect.s()),
            LookupError,
        ),
        "a chord that fails in the middle of a chain": (
            chord([chain(say.s(0), failed, say.s()), say.s(4)], collect.s()),
            ChordError,
        ),
        "a group after a task that fails": (
            chain(fail.s(), group(say.s(2), say.s(3))),
            LookupError,
        ),
        "a chain that fails before its group": (
            chord([chain(fail.s(), group(say.s(2), say.s(3))), say.s(4)], collect.s()),
            LookupError,
        ),
        "a chain that fails before its chord": (
            chord([chain(fail.s(), chord(list(two), collect.s())), say.s(4)], collect.s()),
            LookupError,
        ),
    }


def outcome(result: AsyncResult) -> Any:
    try:
        return result.get(timeout=PATIENCE, interval=0.1)
    except Exception as error:
        return error


def one_by_one() -> Iterator[Any]:
    """Yield the tasks of a header, the last one when the first has ended."""
    yield from (say.s(1), say.s(2), say.s(3))
    wait_for(TaskResult.objects.filter(status=states.SUCCESS).exists, "the first one has ended")
    yield say.s(4)


def fail_in_chords() -> list[AsyncResult]:
    """Call chords with a chord that fails in their headers, and an error callback each."""
    results = []
    for body in (collect.s(), group(say.s(5), say.s(6))):
        for call in (plain, durable):
            inner = chord([chord([say.s(1), fail.s()], collect.s())], collect.s())
            outer = chord([say.s(4), inner], body.clone())
            outer.link_error(told.s())
            with call():
                results.append(outer.delay())
    return results


@pytest.mark.filterwarnings("ignore:task_allow_error_cb_on_chord_header=False")
def test_every_shape_of_a_chord_ends(start_role: StartRole, effect_table: None) -> None:
    start_role("worker", CELERY_IMPORTS="durable.results.tests.chord_tasks")
    failed = fail_in_chords()
    assert chord(one_by_one(), collect.s()).delay().get(timeout=PATIENCE) == [1, 2, 3, 4]
    sent = []
    for call in (plain, durable):
        for name, (canvas, expected) in canvases().items():
            with call():
                sent.append((f"{name}, {call.__name__}", canvas.delay(), expected))
    for name, result, expected in sent:
        found = outcome(result)
        if isinstance(expected, list):
            assert found == expected, name
        else:
            assert (type(found), "no such thing" in str(found)) == (expected, True), name
    wait_for(lambda: not ChordCounter.objects.exists(), "none is left")
    # A group is told for each of its tasks.
    ids = [task.id for result in failed for task in getattr(result, "results", [result])]
    expected = {f"told of {task_id}": 1 for task_id in ids}
    wait_for(lambda: effects().keys() >= expected.keys(), "error callbacks are called")
    assert effects() == expected
