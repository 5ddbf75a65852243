"""A call that can't become a row is refused by name, and its caller's transaction goes on."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from durable.queue.models import Task
from tests.durable_tasks import effect, effects, write

pytestmark = pytest.mark.usefixtures("effect_table")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"args": ["a", {1}]}, r"can't hold argument 2: Object of type set"),
        ({"args": ["a"], "kwargs": {"of": object()}}, r"can't hold of=: Object of type object"),
        ({"args": ["a"], "link": object()}, r"can't hold link=: Object of type object"),
        ({"args": ["a"], "headers": {"x": {1}}}, r"can't hold headers=: "),
        ({"args": ["a"], "expires": date(2030, 1, 1)}, r"expires=datetime.date\(2030, 1, 1\)"),
        ({"args": ["a"], "eta": "tomorrow"}, r"eta='tomorrow' is no time"),
        ({"args": ["a"], "countdown": float("nan")}, r"countdown=nan is no time"),
        ({"args": ["a"], "countdown": 1e12}, r"countdown=1000000000000.0 is no time"),
        ({"args": ["a"], "priority": "high"}, r"priority='high' must be a small whole number"),
        ({"args": ["a"], "priority": 100_000}, r"priority=100000 must be a small whole number"),
        ({"args": ["a"], "priority": True}, r"priority=True must be a small whole number"),
        ({"args": ["a"], "priority": float("inf")}, r"priority=inf must be a small whole number"),
        ({"args": ["a"], "task_id": "x" * 300}, r"task_id='x{40}'… must have 255 characters"),
        ({"args": ["a"], "task_id": "x\0"}, r"task_id='x\\x00'… must have .* no NUL"),
        ({"args": ["a"], "queue": "x" * 300}, r"queue='x{40}'… must have 255 characters"),
    ],
)
def test_it_is_told_which_task_and_what_of_the_call(
    options: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effect, "typing", False)
    with transaction.atomic():
        with pytest.raises((TypeError, ValueError), match=rf"(?s)^{effect.name}: .*{says}"):
            effect.apply_async_on_commit(**options)
        write("goes on")
    assert not Task.objects.exists()
    assert effects() == {"goes on": 1}


def test_a_countdown_goes_before_an_eta_as_in_celery() -> None:
    soon = timezone.now() + timedelta(seconds=10)
    effect.apply_async_on_commit(["a"], eta=soon, countdown=3600)
    effect.apply_async_on_commit(["b"], eta=soon, countdown=0)
    first, second = Task.objects.order_by("id")
    assert first.due_at is not None
    assert first.due_at > soon + timedelta(minutes=30)
    assert second.due_at == soon
