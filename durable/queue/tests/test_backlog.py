"""A long backlog costs nothing: no statement that is run again and again reads all that waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from durable.queue import expiry, store
from durable.queue.models import Task

pytestmark = pytest.mark.django_db


@pytest.fixture
def backlog() -> None:
    later = timezone.now() + timedelta(hours=1)
    values = {"task": "x", "queue": "default", "body": "[[], {}, {}]", "expires": later}
    Task.objects.bulk_create(
        [Task(task_id=f"later-{n}", due_at=later, **values) for n in range(2000)]
        + [Task(task_id=f"sent-{n}", sent_at=timezone.now(), **values) for n in range(2000)]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE durable_task")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.usefixtures("backlog")
@pytest.mark.parametrize("look", [lambda: store.lease(500), expiry.revoke_expired])
def test_what_waits_for_its_time_is_not_read(look: Callable[[], object]) -> None:
    with CaptureQueriesContext(connection) as queries:
        look()
    [first, *_] = [query["sql"] for query in queries if "durable_task" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {first}")
        [found] = cursor.fetchone()
    plan = json.loads(found) if isinstance(found, str) else found
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes(plan[0]["Plan"])) == 0
