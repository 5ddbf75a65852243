"""What the tests of the invariants share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app as app

from durable.checks import database as checked
from durable.checks import start

Change = Callable[..., None]


def messages() -> dict[str, str]:
    """Return what contradicts the invariants now: each id with its message and its hint."""
    return {str(m.id): f"{m.msg} {m.hint}" for m in start.found()}


@pytest.fixture(autouse=True)
def this_machine_alone(settings: Any) -> None:
    """Take back the name that Django's test runner lets in."""
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


@pytest.fixture
def conf() -> Iterator[Change]:
    """Give ``conf(task_acks_late=False)``; what it was comes back."""
    before: dict[str, Any] = {}

    def change(**values: Any) -> None:
        for name, value in values.items():
            before.setdefault(name, app.conf[name])
            setattr(app.conf, name, value)

    yield change
    for name, value in before.items():
        setattr(app.conf, name, value)


@pytest.fixture
def redis(conf: Change) -> Callable[..., None]:
    """Give ``redis(visibility_timeout=60)``: options of the transport, over those that are set."""

    def change(**options: Any) -> None:
        conf(broker_transport_options={**app.conf.broker_transport_options, **options})

    return change


@pytest.fixture
def task() -> Iterator[Callable[..., str]]:
    """Give ``task(time_limit=5)``: a task with these options, gone at the end; returns its name."""
    name = "tests.a_task"

    def make(**options: Any) -> str:
        def nothing() -> None: ...

        app.task(name=name, **options)(nothing)
        assert app.tasks[name].name == name
        return name

    yield make
    app.tasks.pop(name, None)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Give ``database(PORT=6432)``: other settings of the database, for the checks alone."""
    found = checked.database()

    def change(**values: Any) -> None:
        monkeypatch.setattr(checked, "database", lambda: {**found, **values})

    return change
