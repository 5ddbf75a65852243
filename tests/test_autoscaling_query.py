"""The query of k8s/components/autoscaling-postgres: how many workers a pool needs, by its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection
from django.utils import timezone

from durable.queue.models import Task

from .containers import ROOT

pytestmark = pytest.mark.django_db

FILE = ROOT / "k8s/components/autoscaling-postgres/query.yaml"


def asked(queues: str, explain: str = "") -> Any:
    """Return what PostgreSQL answers to the query of a pool with *queues*, two tasks a worker."""
    query = yaml.safe_load(FILE.read_text("utf-8"))["data"]["query"].replace("QUEUES", queues)
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query}")
        return cursor.fetchone()[0]


def wanted(queues: str = "default,mail") -> int:
    """Return what KEDA gets."""
    return int(asked(queues))


def rows(number: int, queue: str = "default", seconds: float = -3600, **columns: Any) -> None:
    """Write rows that are due in so many *seconds*; now() is when the test's transaction began."""
    columns = {"due_at": timezone.now() + timedelta(seconds=seconds), **columns}
    Task.objects.bulk_create(
        Task(task="t", task_id="", queue=queue, **columns) for _ in range(number)
    )


def running(number: int, worker: str) -> None:
    rows(number, worker=worker, started_at=timezone.now())


def test_no_work_needs_no_worker() -> None:
    assert wanted() == 0


def test_what_is_ready_held_or_running_counts_and_two_share_a_worker() -> None:
    rows(3)
    assert wanted() == 2
    running(2, "a")
    assert wanted() == 3
    rows(2, worker="a")
    assert wanted() == 4


def test_a_pool_that_is_busy_and_has_nothing_ready_is_not_taken_away() -> None:
    running(2, "a")
    assert wanted() == 1


def test_never_fewer_than_are_busy() -> None:
    for worker in "abcd":
        running(1, worker)
    assert wanted() == 4


def test_only_the_queues_of_the_pool_count() -> None:
    rows(4, queue="reports")
    rows(2, queue="mail")
    assert (wanted("default,mail"), wanted("reports")) == (1, 2)


def test_every_priority_counts() -> None:
    for priority in (-3, 0, 9, 255):
        rows(1, priority=priority)
    assert wanted() == 2


def test_what_is_scheduled_or_in_quarantine_does_not_count() -> None:
    rows(9, seconds=3600)
    rows(9, quarantined_at=timezone.now())
    assert wanted() == 0


def test_a_backlog_is_counted_up_to_a_limit() -> None:
    rows(3000)
    assert wanted() == 500


def test_neither_a_backlog_nor_what_is_scheduled_is_read_as_a_whole() -> None:
    def pages(plan: dict[str, Any]) -> int:
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    rows(1, queue="mail")
    rows(1, seconds=3600)
    names = ", ".join(f'"{f.column}"' for f in Task._meta.concrete_fields if not f.primary_key)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO durable_task ({names})"  # noqa: S608 - the model's own columns
            f" SELECT {names} FROM durable_task, generate_series(1, 20000)"
        )
        cursor.execute("ANALYZE durable_task")
    for queue in ("default", "mail"):
        (answer,) = asked(queue, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)")
        assert pages(answer["Plan"]) < 200  # the whole table has more than ten times as many
