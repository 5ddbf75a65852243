"""Of a secret argument nothing is kept in any form, nor by a process that lacks its task."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import current_app, shared_task
from django.test import Client
from django.urls import reverse

from durable import discovery
from durable.journal import redaction
from durable.journal.models import Entry
from durable.queue.endings.actions import discard
from durable.queue.models import Task
from durable.queue.tests.delivery import deliver

pytestmark = pytest.mark.django_db(transaction=True)

#: As a private key: several lines, and letters that JSON escapes.
SECRET = 'line one of the kéy\nline "two" of it\\'


@shared_task
def returns(private_key: str, how: str) -> Any:
    return f"signed with {private_key}" if how == "text" else (1, {"password": "of-the-result"})


@shared_task
def lacks(private_key: str) -> None:
    raise KeyError(private_key)


@shared_task(sensitive=("holder",))
def greets(holder: str) -> None: ...


def kept_of(call: Any) -> str:
    """Return all that the journal has of a call."""
    found = Entry.objects.get(task_id=call.id)
    return json.dumps([str(getattr(found, field.name)) for field in Entry._meta.fields])


def test_a_secret_is_found_as_json_and_as_repr_too() -> None:
    calls = [returns.delay_on_commit(SECRET, "text"), lacks.delay_on_commit(SECRET)]
    for row in Task.objects.order_by("id"):
        deliver(row)
    for call in calls:
        assert "line one" not in kept_of(call)
        assert "of it" not in kept_of(call)


def test_a_result_of_several_parts_is_searched_by_names() -> None:
    call = returns.delay_on_commit("", "parts")
    deliver()
    assert "of-the-result" not in kept_of(call)


def test_a_header_that_no_json_of_postgresql_holds_keeps_no_task_from_its_end() -> None:
    call = returns.apply_async_on_commit((SECRET, "text"), headers={"note": "of a file\0"})
    deliver()
    assert "line one" not in kept_of(call)


def test_a_process_of_web_looks_for_the_task_that_says_what_is_secret(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = greets.delay_on_commit("Ada Lovelace")
    row = Task.objects.get()
    declared = current_app.tasks.pop(greets.name)
    monkeypatch.setattr(
        current_app.loader, "import_default_modules", lambda: current_app.tasks.register(declared)
    )
    monkeypatch.setattr(current_app.loader, "worker_initialized", False)
    discovery.load_tasks.cache_clear()
    try:
        page = admin_client.get(reverse("console:task", args=[row.pk])).content.decode()
        assert "Lovelace" not in page
        assert redaction.MARK in page
        current_app.tasks.pop(greets.name, None)
        discovery.load_tasks.cache_clear()
        discard([row.pk], "root")
        assert "Lovelace" not in kept_of(call)
    finally:
        current_app.tasks.register(declared)
        discovery.load_tasks.cache_clear()  # nothing was imported here
