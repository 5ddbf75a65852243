"""The query of k8s/components/autoscaling: how many workers a pool needs, by the ledger."""

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

FILE = ROOT / "k8s/components/autoscaling/query.yaml"


def wanted(queues: str = "default,mail") -> int:
    """Return what KEDA gets, two tasks a worker."""
    query = yaml.safe_load(FILE.read_text("utf-8"))["data"]["query"].replace("QUEUES", queues)
    with connection.cursor() as cursor:
        cursor.execute(query)
        return int(cursor.fetchone()[0])


def rows(number: int, queue: str = "default", **columns: Any) -> None:
    Task.objects.bulk_create(
        Task(task="t", task_id="", body="[]", queue=queue, **columns) for _ in range(number)
    )


def running(number: int, worker: str) -> None:
    rows(number, worker=worker, started_at=timezone.now())


def test_no_work_needs_no_worker() -> None:
    assert wanted() == 0


def test_what_waits_and_what_runs_counts_and_two_share_a_worker() -> None:
    rows(3, sent_at=timezone.now())
    assert wanted() == 2
    running(2, "a")
    assert wanted() == 3


def test_a_pool_that_is_busy_and_has_nothing_waiting_is_not_taken_away() -> None:
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


def test_what_is_due_or_will_be_in_a_moment_counts_and_a_countdown_far_away_does_not() -> None:
    for seconds in (-60, 5, 3600):
        rows(2, due_at=timezone.now() + timedelta(seconds=seconds))
    assert wanted() == 2


def test_the_quarantine_does_not_count() -> None:
    rows(9, quarantined_at=timezone.now())
    assert wanted() == 0


def test_a_backlog_is_counted_up_to_a_limit() -> None:
    rows(3000)
    assert wanted() == 500
