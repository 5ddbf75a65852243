"""Secret arguments of a task are in no text that is made of its error."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from celery import chord, shared_task
from celery.exceptions import Reject
from django.db import transaction
from django.db.models.functions import Now

from durable.journal.models import Entry
from durable.queue.caller.calls import durable
from durable.queue.endings import janitor, quarantine
from durable.queue.models import Task
from durable.queue.tasks import call_on_failure
from durable.queue.tests.delivery import deliver
from durable.queue.worker.task import DurableTask
from tests.durable_tasks import add

CARD = "4111-1111-1111"
logger = logging.getLogger("shop")


class Told(DurableTask):
    """Logs all that it is told of a failure."""

    abstract = True

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        logger.error("%s: %s with %s", self.name, exc, args)


@shared_task(bind=True, base=Told, sensitive=("card",), max_retries=1)
def charges(self: Any, card: str, how: str = "fail") -> None:
    error = ValueError(f"{card} is refused")
    if how == "retry":
        raise self.retry(exc=error, countdown=0)
    if how == "reject":
        raise Reject(error, requeue=True)
    raise error


@pytest.fixture(autouse=True)
def hidden(effect_table: None, caplog: pytest.LogCaptureFixture) -> Any:
    """Look for the secret in the log, in what is left of rows, and in the journal."""
    yield
    kept = [*Task.objects.values_list("history", "error"), *Entry.objects.values()]
    assert CARD not in f"{caplog.text} {kept}"


@pytest.mark.parametrize(("how", "label"), [("retry", "retry"), ("reject", "rejected")])
def test_the_reason_of_another_attempt(how: str, label: str) -> None:
    charges.delay_on_commit(CARD, how)
    deliver()
    row = Task.objects.get()
    assert row.error == f"{label}: ValueError('[redacted] is refused')"
    assert row.history[-1]["what"] == row.error


def test_the_call_of_on_failure_which_knows_them(caplog: pytest.LogCaptureFixture) -> None:
    charges.delay_on_commit(CARD)
    failed = Task.objects.get()
    with transaction.atomic():
        quarantine.schedule_on_failure(failed.pk, ValueError(f"{CARD} is refused"))
    failed.delete()
    deliver()
    assert "[redacted] is refused with ['[redacted]']" in caplog.text
    [found] = Entry.objects.filter(task=call_on_failure.name)
    args = json.loads(str(found.body))[0]
    assert (args[0], args[2], args[5]) == (charges.name, ["[redacted]"], ["[redacted] is refused"])


def test_the_failure_of_a_part_in_the_line_of_its_chord(caplog: pytest.LogCaptureFixture) -> None:
    with durable():
        chord([charges.s(CARD), add.s(1, 2)])(add.si(3, 4))
    for row in Task.objects.order_by("id"):
        deliver(row)
    assert "its body is not called: ValueError" in caplog.text


def test_a_body_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    charges.apply_async_on_commit((CARD,), expires=3600)
    wrong = json.dumps([[], {"card": {"__type__": "datetime", "__value__": CARD}}, {}])
    Task.objects.update(body=wrong, expires=Now())
    assert janitor.revoke_expired() == 1
    error = Task.objects.get().error
    assert error.startswith("expired, but not revoked: its body can't be read: ValueError(")
    assert "[redacted]" in error
