"""Each task that ends leaves an entry, by the statement that ends it."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from celery import chain, shared_task, states
from django.db import connection, transaction
from django.utils import timezone

from durable.journal import conf, entry, keep, lines, redaction
from durable.journal.models import Entry
from durable.queue import store
from durable.queue.batch.shared import Batch, SharedAttempt
from durable.queue.caller.calls import durable
from durable.queue.endings import janitor
from durable.queue.endings.actions import discard
from durable.queue.models import Task
from durable.queue.tests.delivery import begin, deliver
from durable.queue.worker.attempt import Outcome, Phase
from durable.queue.worker.ticket import Ticket
from tests.durable_tasks import add, effect, fails

logger = logging.getLogger("shop")

pytestmark = pytest.mark.usefixtures("effect_table")


@shared_task(sensitive=("holder",))
def pays(holder: str, order: dict[str, Any], card: str = "") -> None:
    raise ValueError(f"{holder} can't pay with {card or order['customer_card']}")


@shared_task(bind=True, max_retries=1)
def logs(self: Any, lines: int, token: str) -> None:
    for number in range(lines):
        logger.warning("line %d with %s", number, token)
    raise self.retry(countdown=0)


def entry_of(call: Any) -> Entry:
    return Entry.objects.get(task_id=call.id)


def test_success_leaves_arguments_result_times_and_place() -> None:
    call = add.apply_async_on_commit((1, 2), headers={"request_id": "r-1"})
    deliver()
    found = entry_of(call)
    assert (found.state, found.result, found.attempt, found.history) == ("SUCCESS", "3", 1, None)
    assert (found.task, found.queue) == (add.name, "default")
    assert json.loads(str(found.body))[:2] == [[1, 2], {}]
    assert json.loads(found.headers)["request_id"] == "r-1"
    assert found.started_at is not None
    assert found.called_at <= found.due_at <= found.started_at <= found.ended_at
    assert (found.memory or 0) > 1000
    assert found.host


def test_failure_leaves_its_error_its_place_and_its_traceback() -> None:
    call = fails.delay_on_commit("a")
    deliver()
    found = entry_of(call)
    assert (found.state, found.error) == (states.FAILURE, "ValueError")
    assert "ValueError" in str(found.traceback)
    assert str(found.place).startswith("tests/durable_tasks.py:")
    assert str(found.place).endswith(" fails")


def test_attempts_before_the_last_one_are_kept_with_it() -> None:
    call = effect.delay_on_commit("a")
    row = Task.objects.get()
    begin(row, "gone")
    store.release("worker = 'gone'", {}, "the process that ran it died")
    row.refresh_from_db()
    deliver(row)
    [before] = entry_of(call).history or []
    assert (before["what"], before["attempt"]) == ("the process that ran it died", 1)
    assert before["since"] <= before["at"]


def test_what_is_discarded_expired_or_revoked_leaves_one_too() -> None:
    gone = effect.delay_on_commit("a")
    discard([Task.objects.get().pk], "root")
    late = effect.apply_async_on_commit(["a"], expires=timezone.now() - timedelta(1))
    janitor.revoke_expired()
    assert (entry_of(gone).state, entry_of(gone).result) == (entry.DISCARDED, "discarded by root")
    assert (entry_of(late).state, entry_of(late).started_at) == (states.REVOKED, None)


def test_tasks_of_a_batch_leave_theirs_by_one_statement() -> None:
    calls = [add.delay_on_commit(1, number) for number in range(3)]
    batch = Batch()
    with batch.open():
        for number, row in enumerate(Task.objects.order_by("id")):
            begin(row)
            add.push_request(id=row.task_id, args=[1, number], kwargs={}, is_eager=False)
            attempt = SharedAttempt(add, Ticket(row.pk, 0, "w"), batch)
            attempt.number, attempt.phase = 1, Phase.RUNNING
            outcome = Outcome()
            outcome.result = 1 + number
            attempt.end(outcome)
            add.pop_request()
    assert [entry_of(call).result for call in calls] == ["1", "2", "3"]


def test_nothing_is_written_if_the_end_is_rolled_back_or_the_journal_is_off(settings: Any) -> None:
    call = add.delay_on_commit(1, 2)
    row = Task.objects.get()
    begin(row)
    assert not store.finish_one(row.pk, 7, end=entry.End("SUCCESS")), "another attempt's"
    settings.HISTORY_DAYS = 0
    row.refresh_from_db()
    store.release("worker IS NOT NULL", {}, "again")
    row.refresh_from_db()
    deliver(row)
    assert call.state == states.SUCCESS
    assert not Entry.objects.filter(task_id=call.id).exists()


def test_secrets_are_not_kept_wherever_they_stand() -> None:
    call = pays.apply_async_on_commit(("Ada Lovelace", {"customer_card": "4111-1111"}), {})
    with durable():
        chain(add.s(1, 2), pays.s({"customer_card": "4222-2222"}, card="4333-3333")).delay()
    for row in Task.objects.order_by("id"):
        deliver(row)
    Task.objects.all().delete()
    for found in Entry.objects.order_by("-ended_at")[:2]:
        kept = json.dumps([getattr(found, field.name) for field in Entry._meta.fields], default=str)
        # Whole: four digits alone are found in a time or an id now and then.
        secrets = ("Lovelace", "4111-1111", "4222-2222", "4333-3333")
        assert not [word for word in secrets if word in kept]
        assert found.redacted
        assert redaction.MARK in str(found.body)
    assert "can't pay with" in str(entry_of(call).result)


@shared_task(ignore_result=True)
def signs_in(name: Any, password: str) -> None: ...


def deep(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "name",
    ["a\0b", "half a pair: \ud800", deep(600), {"task": "t", "args": [], "kwargs": "none"}],
    ids=["NUL", "surrogate", "deep", "like a signature"],
)
@pytest.mark.parametrize("how", ["runs", "is discarded", "expires"])
def test_no_arguments_keep_a_task_from_ending(name: Any, how: str) -> None:
    """Nor, when it has expired, the janitor from what else there is to do."""
    call = signs_in.delay_on_commit(name, "4111-1111")
    row = Task.objects.get()
    if how == "runs":
        deliver(row)
    elif how == "expires":
        Task.objects.update(expires=row.created_at)
        janitor.sweep()
    else:
        discard([row.pk], "me")
    assert not Task.objects.exists()
    found = entry_of(call)
    assert "4111-1111" not in f"{found.headers}{found.body}"
    assert json.loads(found.headers)["id"] == call.id


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [("card", True), ("cardId", True), ("user-password", True), ("apiKey", True), ("API_TOKENS",
     True), ("discard", False), ("cardinality", False), ("order", False)],
)  # fmt: skip
def test_names_are_found_by_their_words(name: str, is_secret: bool) -> None:
    assert redaction.is_named(name) is is_secret


def test_old_days_are_dropped_and_the_last_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE durable_journal")
    add.delay_on_commit(1, 2)
    deliver()
    kept = Entry.objects.get()
    old = Entry.objects.get()
    old.pk, old.slot = kept.pk + 1, (kept.slot + 20) % conf.SLOTS
    old.save(force_insert=True)
    monkeypatch.setattr(keep, "PATIENCE", "50ms")
    with closing(connection.copy()) as reader:
        reader.set_autocommit(False)
        reader.cursor().execute("SELECT count(*) FROM durable_journal")
        assert keep.drop_old() == 0, "what is read now is left to the next run"
        reader.rollback()  # at once; the server notices a connection's end a moment later
    assert keep.drop_old() == 1
    assert Entry.objects.get().pk == kept.pk


def test_the_most_days_that_fit_end_too(settings: Any) -> None:
    settings.HISTORY_DAYS = conf.MOST_DAYS
    add.delay_on_commit(1, 2)
    deliver()
    kept = Entry.objects.latest("id")
    for days in range(conf.SLOTS):
        old = Entry.objects.get(pk=kept.pk)
        old.pk, old.slot = kept.pk + 1 + days, (kept.slot - days) % conf.SLOTS
        old.save(force_insert=True)
    assert keep.drop_old() >= 1
    # The day after tomorrow needs an empty part.
    assert not Entry.objects.filter(slot=(kept.slot + 2) % conf.SLOTS).exists()


def test_the_last_log_lines_of_each_attempt_are_kept_without_secrets(settings: Any) -> None:
    settings.HISTORY_LOG_KB = 1
    logs.delay_on_commit(3, "my-token")
    row = Task.objects.get()
    deliver(row)
    logger.warning("of no task")
    deliver()
    (first, text), (second, _) = lines.of(row.pk)
    assert (first, second) == (1, 2)
    assert text.count("WARNING shop: line") == 3
    assert f"line 2 with {redaction.MARK}" in text
    assert "of no task" not in text
    logs.delay_on_commit(500, "my-token")
    row = Task.objects.get()
    deliver(row)
    [(_, text)] = lines.of(row.pk)
    assert text.startswith(lines.CUT)
    assert "line 499" in text
    assert len(text) < 2000
    collected = lines.collect()
    assert collected is not None
    logger.warning("in a batch")
    with transaction.atomic():
        lines.keep(collected, row.pk, 9, logs.name, (), {})
        assert len(lines.of(row.pk)) == 1
    assert "in a batch" in lines.of(row.pk)[1][1]
    settings.HISTORY_LOG_KB = 0
    deliver()
    assert len(lines.of(row.pk)) == 2
