"""From a failure to its trace: the task's page and the shell name it."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from durable.journal.models import Entry
from durable.queue.models import Task
from durable.queue.tests.delivery import deliver
from tests.durable_tasks import add, fails

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.django_db(transaction=True)
def test_a_task_names_its_trace_while_it_waits_and_when_it_has_ended(admin_client: Client) -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    call = fails.apply_async_on_commit(("a",), headers=headers)
    row = Task.objects.get(task_id=call.id)
    page = reverse("console:task", args=[row.pk])
    shown = f"trace <code>{TRACE}</code>"
    assert shown in admin_client.get(page).content.decode()
    deliver(row)
    assert Entry.objects.filter(pk=row.pk).exists()
    assert shown in admin_client.get(page).content.decode()
    out = StringIO()
    call_command("tasks", "show", str(row.pk), "--json", stdout=out)
    assert json.loads(out.getvalue())["trace"] == TRACE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}])
def test_one_without_a_trace_says_nothing_of_it(
    headers: dict[str, str], admin_client: Client
) -> None:
    add.apply_async_on_commit((1, 2), headers=headers)
    page = reverse("console:task", args=[Task.objects.latest("pk").pk])
    assert "trace <code>" not in admin_client.get(page).content.decode()
