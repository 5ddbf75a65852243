"""A call that can't become a row is refused by name, and its caller's transaction goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from django.db import transaction
from kombu.common import Broadcast
from kombu.entity import Exchange, Queue

from durable.queue.models import Task
from proj.celery import app
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
        ({"args": "a"}, r"task args must be a list or tuple"),
        ({"args": [{"__type__": "x", "__value__": 1}]}, r"how kombu marks a type in JSON"),
        ({"args": ["a"], "serializer": "pickle"}, r"stored as JSON .*serializer='pickle'"),
        ({"args": ["a"], "color": "red"}, r"can't take color= \(unknown to the queue\)"),
        (
            {"args": ["a"], "soft_time_limit": 9, "time_limit": 8},
            r"soft_time_limit must be less than or equal to time_limit: 9 > 8",
        ),
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


def test_a_plain_call_that_is_too_large_is_told_what_to_do_and_a_row_is_written() -> None:
    large = "x" * 512 * 1024
    for call in (effect.delay, lambda text: effect.si("a").set(link=effect.si(text)).delay()):
        with pytest.raises(
            ValueError, match=r"effect: .* \d+ bytes, and DURABLE_MESSAGE_MAX_BYTES"
        ):
            call(large)
    effect.delay_on_commit(large)
    assert len(Task.objects.get().body) > len(large)


def test_arguments_that_the_task_does_not_take_are_refused_as_celery_does() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        effect.delay_on_commit()


class TestAnExchange:
    @pytest.fixture(autouse=True)
    def queues(self) -> Iterator[None]:
        app.amqp.queues.add(Queue("videos", Exchange("media", "topic"), routing_key="media.video"))
        app.amqp.queues.add(Queue("pictures", routing_key="picture"))
        app.amqp.queues.add(Broadcast("all", "all-here", routing_key="all"))
        yield
        for name in ("videos", "pictures", "all-here"):
            app.amqp.queues.pop(name)

    @pytest.mark.parametrize(
        ("options", "queue"),
        [
            ({"queue": "videos"}, "videos"),
            ({"exchange": "media", "routing_key": "media.video"}, "videos"),
            ({"exchange": Exchange("media"), "routing_key": "media.video"}, "videos"),
            ({"queue": "videos", "routing_key": "media.other"}, "videos"),
            ({"queue": "videos", "exchange": "media"}, "videos"),
            ({"routing_key": "picture"}, "pictures"),
            ({"queue": app.amqp.queues["default"]}, "default"),
        ],
    )
    def test_stands_for_the_queue_that_is_bound_to_it(self, options: Any, queue: str) -> None:
        effect.apply_async_on_commit(["a"], **options)
        assert Task.objects.get().queue == queue

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (
                {"exchange": "media", "routing_key": "other"},
                r"no queue .* is bound to exchange='media' with routing_key='other'",
            ),
            ({"exchange": "media"}, r"bound to exchange='media' with routing_key='default'"),
            ({"queue": "all"}, "a Broadcast queue hands a task to every worker"),
            ({"exchange": "all", "routing_key": "all"}, "a Broadcast queue"),
        ],
    )
    def test_is_refused_if_no_one_queue_is(self, options: Any, says: str) -> None:
        with pytest.raises(TypeError, match=says):
            effect.apply_async_on_commit(["a"], **options)
        assert not Task.objects.exists()
