"""The same calls on every pool, batches among them: the same states, results and effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import chord, group
from celery.result import AsyncResult
from django.core.management import call_command
from django.db import connection, transaction

from durable.queue.caller.calls import durable
from durable.queue.models import Task
from tests import batch_tasks as more
from tests import durable_tasks as tasks
from tests.fixtures_durable import TASKS, all_done
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
]

POOL_TASKS = {**TASKS, "CELERY_IMPORTS": "tests.durable_tasks,tests.batch_tasks"}

add, effect = tasks.add, tasks.effect

#: A call; the state, and the result or the error's class; the effects.
CASES: dict[str, tuple[Callable[[], Any], Any, list[str]]] = {
    "success": (lambda: effect.delay("a"), "SUCCESS 'a'", ["a"]),
    "no result": (lambda: tasks.keeps_no_result.delay(), "no end", []),
    "garbage collection": (lambda: more.leaves_imports_out.delay(), "SUCCESS True", []),
    "calls itself": (lambda: tasks.fibonacci.delay(3), "SUCCESS 2", []),
    "a result that JSON can't hold": (
        lambda: tasks.unserializable.delay(), "FAILURE EncodeError", [],
    ),
    "a result that is too large": (
        lambda: more.returns.delay(1024 * 1024), "FAILURE EncodeError", [],
    ),
    "expires": (
        lambda: effect.apply_async(["expired"], expires=0.5, countdown=600),
        "REVOKED TaskRevokedError", [],
    ),
    # Canvas
    "chain": (lambda: (add.s(1, 1) | add.s(2)).delay(), "SUCCESS 4", ["add-2", "add-4"]),
    "a chain that fails": (
        lambda: (tasks.fails.s("b") | effect.si("after")).delay().parent, "FAILURE ValueError", [],
    ),
    "group": (
        lambda: group(effect.s("g1"), effect.s("g2")).delay(),
        "SUCCESS 'g1', SUCCESS 'g2'", ["g1", "g2"],
    ),
    "chord": (
        lambda: chord([add.s(1), add.s(2)])(add.s()), "SUCCESS 3", ["add-1", "add-2", "add-3"],
    ),
    "a chord within a chord": (
        lambda: chord([add.s(10) | add.s(1), chord([add.s(20), add.s(30)], add.s())])(add.s()),
        "SUCCESS 61", ["add-10", "add-11", "add-20", "add-30", "add-50", "add-61"],
    ),
    "a chord that fails": (
        lambda: chord([add.s(40), tasks.fails.s("c")])(add.s()), "FAILURE ChordError", ["add-40"],
    ),
    "a chord within a chord that fails": (
        lambda: chord([chord([tasks.fails.s("P")], add.s()), add.s(70)])(add.s()),
        "FAILURE ChordError", ["add-70"],
    ),
    "a chord with a chain that ends in a group": (
        lambda: chord([add.s(100) | group(add.s(1), add.s(2)), add.s(80)])(effect.si("all")),
        "SUCCESS 'all'", ["add-100", "add-101", "add-102", "add-80", "all"],
    ),
    "link": (lambda: effect.apply_async(["d"], link=effect.si("d-next")), "SUCCESS 'd'",
             ["d", "d-next"]),
    "link_error": (
        lambda: tasks.fails.apply_async(["e"], link_error=more.told.si()),
        "FAILURE ValueError", ["told"],
    ),
    "replace": (lambda: tasks.replaces.delay("f"), "SUCCESS 'f'", ["f-first", "f"]),
    "replace by a chain": (
        lambda: more.replaces_by_chain.delay("h"), "SUCCESS 2", ["h", "add-1", "add-2"],
    ),
    # Endings
    "failure": (lambda: tasks.fails.delay("i"), "FAILURE ValueError", []),
    "on_failure": (lambda: more.tells.delay("j"), "FAILURE ValueError", ["j: ValueError"]),
    "an on_failure that raises": (
        lambda: more.stumbles.delay("k"), "FAILURE ValueError",
        ["k stumbles", "k: ValueError"],
    ),
    "before_start raises": (lambda: tasks.never_begins.delay("l"), "FAILURE LookupError", []),
    "before_start ignores": (
        lambda: tasks.ends_before.delay("ignore"), "no end", ["before ignore"],
    ),
    "retry": (lambda: tasks.retries.delay("m", 2), "SUCCESS 2", ["m-ID"]),
    "a retry that goes on": (lambda: tasks.retries_and_goes_on.delay("n"), "SUCCESS 'n'",
                             ["n", "n"]),
    "autoretry_for": (lambda: tasks.autoretries.delay("o"), "SUCCESS 'o'", ["o"]),
    "retry because of an error without a text": (
        lambda: more.retries_unspeakably.delay("O"), "SUCCESS 'O'", ["O"],
    ),
    "MemoryError": (lambda: tasks.raises.delay("MemoryError"), "FAILURE MemoryError", []),
    "CancelledError": (lambda: tasks.raises.delay("CancelledError"), "FAILURE CancelledError", []),
    "GeneratorExit": (lambda: tasks.raises.delay("GeneratorExit"), "FAILURE GeneratorExit", []),
    "an error without a text": (
        lambda: more.fails_unspeakably.delay("Q"), "FAILURE UnspeakableError", [],
    ),
    "retries in vain": (lambda: more.retries_in_vain.delay("p"), "FAILURE LookupError", []),
    "Ignore": (lambda: tasks.ignores.delay("q"), "no end", ["q"]),
    "Reject": (
        lambda: tasks.rejects.apply_async(["r"], link_error=more.told.si()),
        "FAILURE Reject", ["told"],
    ),
    "before_start rejects": (
        lambda: tasks.ends_before.apply_async(["reject"], link_error=more.told.si()),
        "FAILURE Reject", ["before reject", "told"],
    ),
    "Reject(requeue=True)": (lambda: more.rejects_once.delay("s"), "SUCCESS 's'", ["s"]),
    # Transactions
    "atomic=False": (lambda: more.long.delay("t"), "SUCCESS 't'", ["t-before", "t"]),
    "atomic=False fails before": (
        lambda: more.long.delay("u", "before"), "FAILURE ValueError", ["u-before"],
    ),
    "atomic=False fails inside": (
        lambda: more.long.delay("v", "inside"), "FAILURE ValueError", ["v-before"],
    ),
    "atomic=False fails after": (
        lambda: more.long.delay("w", "after"), "SUCCESS 'w'", ["w-before", "w"],
    ),
    "SQL error": (lambda: more.writes_and_fails_in_sql.delay("x"), "FAILURE DataError", []),
    "SQL error, caught with a savepoint": (
        lambda: more.swallows_an_error.delay("y", "savepoint"), "SUCCESS 'y'", ["y"],
    ),
    "SQL error, caught without": (
        lambda: more.swallows_an_error.delay("z", ""), "FAILURE InternalError", [],
    ),
    "a transaction marked for rollback": (
        lambda: more.swallows_an_error.delay("A", "marked"),
        "FAILURE TransactionManagementError", [],
    ),
    "the connection is closed inside": (
        lambda: more.naps.delay("I", "close"), "FAILURE TransactionManagementError",
        ["I: TransactionManagementError"],
    ),
    "on_commit": (lambda: more.calls_back.delay("B"), "SUCCESS 'B'", ["B", "B-committed"]),
    "on_commit of a failure": (
        lambda: more.calls_back.delay("C", "task"), "FAILURE ValueError", [],
    ),
    "on_commit raises": (
        lambda: more.calls_back.delay("D", "callback"), "SUCCESS 'D'", ["D", "D-committed"],
    ),
    "COPY": (lambda: more.copies.delay("E", False), "SUCCESS 'E'", ["E-copied", "E"]),
    "COPY of a failure": (lambda: more.copies.delay("F", True), "FAILURE ValueError", []),
    "a call from inside": (
        lambda: tasks.calls_another.delay("G", False), "SUCCESS None", ["G", "G-child"],
    ),
    "a call from inside of a failure": (
        lambda: tasks.calls_another.delay("H", True), "FAILURE ValueError", [],
    ),
    "a lock in the cache": (lambda: more.keeps_a_lock.delay("R"), "SUCCESS 'R'", ["R"]),
    # Once
    "unique while one waits": (lambda: twice(effect.unique(), "once"), "SUCCESS 'once'", ["once"]),
    "unique while one runs": (
        lambda: effect.unique("k", while_="unfinished").delay_on_commit("runs"),
        "SUCCESS 'runs'", ["runs"],
    ),
    "unique for a time": (
        lambda: twice(effect.unique(within=timedelta(days=1)), "a day"), "SUCCESS 'a day'",
        ["a day"],
    ),
    "for an event": (
        lambda: effect.apply_async(["event"], dedupe="e1"), "SUCCESS 'event'", ["event"],
    ),
    "the same event": (
        lambda: effect.apply_async(["again"], dedupe="e1"), "SUCCESS 'event'", [],
    ),
    "one at once": (
        lambda: group([more.beside.s().set(concurrency_key="L")] * 4).delay(),
        "SUCCESS 1, SUCCESS 1, SUCCESS 1, SUCCESS 1", [],
    ),
    "a rate": (
        lambda: group([more.paced.s("P1"), more.paced.s("P2")]).delay(),
        "SUCCESS 'P1', SUCCESS 'P2'", ["P1", "P2"],
    ),
    "in order": (
        lambda: group([more.in_turn.s(number) for number in (3, 1, 2)]).delay(),
        "SUCCESS [3], SUCCESS [3, 1], SUCCESS [3, 1, 2]", ["turn 3", "turn 1", "turn 2"],
    ),
    "many": (lambda: many("Q1", "Q2"), "SUCCESS 'Q1', SUCCESS 'Q2'", ["Q1", "Q2"]),
    "progress": (lambda: more.tells_how_far.delay("N"), "SUCCESS 'half'", ["N"]),
    "cancelled": (lambda: more.cancels_itself.delay("J"), "REVOKED TaskRevokedError", []),
    "cancelled, atomic=False": (
        lambda: more.cancels_itself_in_steps.delay("K"), "REVOKED TaskRevokedError", ["K before"],
    ),
    # Signals
    "signals of a success": (
        lambda: more.hears.delay("succeed"), "SUCCESS 'succeed'",
        ["signal task_prerun", "signal task_success", "signal task_postrun"],
    ),
    "signals of a failure": (
        lambda: more.hears.delay("fail"), "FAILURE ValueError",
        ["signal task_prerun", "signal task_failure", "signal task_postrun"],
    ),
    "signals of a retry": (
        lambda: more.hears.delay("retry"), "SUCCESS 'retry'",
        ["signal task_prerun", "signal task_retry", "signal task_postrun",
         "signal task_prerun", "signal task_success", "signal task_postrun"],
    ),
}  # fmt: skip


def twice(task: Any, label: str) -> Any:
    """Call a unique task twice; return what the second call returns."""
    first, second = task.delay_on_commit(label), task.delay_on_commit(label)
    assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
    return second


def many(*labels: str) -> Any:
    """Call a task for each of *labels* by one statement; return what a group's call does."""
    with transaction.atomic():
        assert effect.map_on_commit(labels) == len(labels)
        newest = Task.objects.order_by("-id").values_list("task_id", flat=True)[: len(labels)]
        return SimpleNamespace(results=[AsyncResult(one) for one in reversed(newest)])


EFFECTS = Counter(label for _, _, effects in CASES.values() for label in effects)


def outcome(result: Any) -> str:
    if hasattr(result, "results"):
        return ", ".join(outcome(one) for one in result.results)
    if result.state in ("PENDING", "STARTED"):  # within a batch, a start is not to be seen
        return "no end"
    failed = isinstance(result.result, BaseException)
    return f"{result.state} {type(result.result).__name__ if failed else repr(result.result)}"


def happened(results: dict[str, Any]) -> Counter[str]:
    retried = results["retry"].id
    return Counter({k.replace(retried, "ID"): v for k, v in tasks.effects().items()})


def run_all() -> None:
    call_command("createcachetable")
    # All at once: a worker takes none between two calls that are to meet, and many as one batch.
    with transaction.atomic(), durable():
        results = {name: call() for name, (call, _, _) in CASES.items()}
    wait_for(all_done, "all have ended")
    # What runs after a commit may do so still.
    with suppress(pytest.fail.Exception):
        wait_for(lambda: happened(results) == EFFECTS, "all effects are there")
    assert {name: outcome(result) for name, result in results.items()} == {
        name: expected for name, (_, expected, _) in CASES.items()
    }
    assert happened(results) == EFFECTS
    assert not Task.objects.exists()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_task_ends_the_same_way_on_each_of_celerys_pools(
    start_role: StartRole, pool: str
) -> None:
    start_role("worker", "--pool", pool, **POOL_TASKS)
    run_all()


def test_a_task_ends_the_same_way_in_a_batch(start_role: StartRole) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE test_effect ADD COLUMN xact text DEFAULT pg_current_xact_id()::text"
        )
    start_role("worker", WORKER_BATCH="100", TEST_BATCH_SECONDS="60", **POOL_TASKS)
    run_all()  # each alone, since none is known yet
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE test_effect, durable_seen")
    run_all()
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(count) FROM (SELECT count(*) FROM test_effect GROUP BY xact)")
        [most] = cursor.fetchone()
    assert most > 5, "they have shared transactions"
