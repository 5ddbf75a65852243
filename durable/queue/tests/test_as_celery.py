"""A call on commit is seen by routes, base classes and logs as the same call by ``delay()`` is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from celery import shared_task
from celery.app import routes
from celery.signals import after_task_publish, before_task_publish
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import timezone
from kombu.utils.json import loads

from durable.queue.caller.calls import durable
from durable.queue.models import Task as Row
from proj.celery import app
from proj.task import Task
from tests.durable_tasks import effect, retries, retries_elsewhere
from tests.fixtures_worker import PATIENCE, purge_queues

from .delivery import deliver, message

pytestmark = pytest.mark.django_db(transaction=True)

#: Both ways to call a task.
both = pytest.mark.parametrize("method", ["apply_async", "apply_async_on_commit"])


@pytest.fixture(autouse=True)
def empty_broker() -> None:
    purge_queues()


def given(method: str, queue: str = "default") -> Any:
    """Return what a worker of *queue* is given for the one call: the broker's message, or a row."""
    if method == "apply_async_on_commit":
        return message(queue)
    assert not Row.objects.exists()
    with app.connection_for_read() as connection:
        found = connection.SimpleQueue(queue).get(timeout=PATIENCE)
        found.ack()
    return found


class Tenant(Task):
    """Adds to each call what it is made for."""

    abstract = True

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Call the task, for a tenant."""
        headers = {**(options.pop("headers", None) or {}), "tenant": "acme"}
        return super().apply_async(args, kwargs, headers=headers, **options)


@shared_task(base=Tenant)
def for_tenant() -> None:
    """Do nothing."""


@both
def test_a_base_class_that_changes_each_call_changes_this_one(method: str) -> None:
    getattr(for_tenant, method)(headers={"mine": 1})
    headers = given(method).headers
    assert (headers["tenant"], headers["mine"]) == ("acme", 1)


def test_what_a_base_class_hands_on_by_position_is_kept() -> None:
    with durable():
        effect.apply_async(["a"], None, "my-id")
    assert Row.objects.get().task_id == "my-id"


@pytest.fixture
def route(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Set ``CELERY_TASK_ROUTES`` to one function."""

    def set_route(function: Any) -> None:
        router = routes.Router((function,), app.amqp.queues, create_missing=True, app=app)
        monkeypatch.setattr(app.amqp, "router", router)

    return set_route


@both
def test_a_route_sees_the_task_and_all_options_of_the_call(method: str, route: Any) -> None:
    seen: list[Any] = []

    def look(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Any:
        seen.append((name, tuple(args), dict(kwargs), options.get("headers"), task))
        return {"queue": "mail"} if (options.get("headers") or {}).get("mine") else None

    route(look)
    getattr(effect, method)(["a"], {}, headers={"mine": 1})
    assert seen[0] == (effect.name, ("a",), {}, {"mine": 1}, effect)
    assert given(method, "mail").headers["mine"] == 1


@shared_task(bind=True)
def tells(self: Any) -> list[Any]:
    """Return what the message says beside its headers."""
    return [self.request.eta, (self.request.properties or {}).get("app_id")]


def test_a_task_knows_its_time_and_the_properties_of_its_call() -> None:
    when = timezone.now() + timedelta(hours=1)
    tells.apply_async_on_commit(eta=when, app_id="1234")
    Row.objects.update(due_at=timezone.now())
    assert deliver()[0] == [when.isoformat(), "1234"]
    tells.delay_on_commit()
    assert deliver()[0] == [None, None]


@pytest.fixture
def traced() -> Iterator[list[tuple[Any, ...]]]:
    """What a tracer sees, which puts a header into each call, as OpenTelemetry's does."""
    seen: list[tuple[Any, ...]] = []

    def begin(sender: str, headers: Any, body: Any, routing_key: str, **kwargs: Any) -> None:
        headers["traceparent"] = f"00-{len(seen)}"
        seen.append((sender, list(body[0]), routing_key))

    def end(sender: str, headers: Any, **kwargs: Any) -> None:
        seen.append((sender, headers["id"], headers["traceparent"]))

    before_task_publish.connect(begin)
    after_task_publish.connect(end)
    yield seen
    before_task_publish.disconnect(begin)
    after_task_publish.disconnect(end)


@both
def test_a_tracer_gets_celerys_signals_and_its_header_is_kept(method: str, traced: Any) -> None:
    result = getattr(effect, method)(["a"])
    assert traced == [(effect.name, ["a"], "default"), (effect.name, result.id, "00-0")]
    assert given(method).headers["traceparent"] == "00-0"


def test_each_of_many_calls_and_a_retry_are_traced(traced: Any) -> None:
    retries_elsewhere.map_on_commit(["a", "b"])
    assert [loads(row.headers)["traceparent"] for row in Row.objects.order_by("pk")] == [
        "00-0",
        "00-1",
    ]
    Row.objects.latest("pk").delete()
    deliver()
    assert loads(Row.objects.get().headers)["traceparent"] == "00-4"


@shared_task
def parent(method: str, **options: Any) -> None:
    """Call another task."""
    getattr(effect, method)(["a"], **options)


@pytest.fixture
def inherits() -> Iterator[None]:
    """Set ``CELERY_TASK_INHERIT_PARENT_PRIORITY``."""
    app.conf.task_inherit_parent_priority = True
    yield
    app.conf.task_inherit_parent_priority = False


@both
@pytest.mark.usefixtures("inherits")
@pytest.mark.parametrize(("options", "priority"), [({}, 6), ({"priority": 2}, 2)])
def test_a_tasks_priority_is_handed_on_to_what_it_calls(
    method: str, options: Any, priority: int
) -> None:
    parent.apply([method], options, priority=6)
    assert given(method).properties["priority"] == priority


@both
def test_secret_arguments_are_shown_as_the_call_says(method: str) -> None:
    getattr(effect, method)(["secret"], argsrepr="(***)", kwargsrepr="{***}")
    headers = given(method).headers
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(***)", "{***}")


@both
def test_arguments_are_shown_as_they_were_passed(method: str) -> None:
    getattr(retries, method)(("a", 1), {})
    assert given(method).headers["argsrepr"] == "('a', 1)"


@both
@pytest.mark.parametrize(
    "args", ["a", {"x": 1}, {1}, (n for n in [1])], ids=["text", "mapping", "set", "generator"]
)
def test_arguments_that_are_no_list_are_refused(method: str, args: Any) -> None:
    with pytest.raises(TypeError, match="task args must be a list or tuple"):
        getattr(effect, method)(args)


@both
def test_keyword_arguments_that_are_no_mapping_are_refused(method: str) -> None:
    with pytest.raises(TypeError, match=r"must be a mapping"):
        getattr(untyped, method)([], ["a"])


@shared_task(typing=False)
def untyped() -> None:
    """Do nothing."""


def test_on_an_event_loop_it_is_called_in_a_thread() -> None:
    """A row is written through Django, which refuses to hold up the loop."""

    async def view() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            effect.delay_on_commit("a")
        with pytest.raises(SynchronousOnlyOperation), durable():
            pass
        await sync_to_async(effect.delay_on_commit)("b")

    async_to_sync(view)()
    assert loads(Row.objects.get().body)[0] == ["b"]
