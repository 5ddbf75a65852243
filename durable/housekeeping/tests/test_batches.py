"""Old rows go in batches, each on its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from durable.housekeeping.batches import delete_older
from tests.fixtures_worker import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = TaskResult._meta.db_table
COUNT_OLD = "SELECT count(*) FROM django_celery_results_taskresult WHERE task_id LIKE 'old-%'"
HOLD_ONE = "SELECT FROM django_celery_results_taskresult WHERE task_id = 'old-3' FOR UPDATE"


@pytest.fixture(autouse=True)
def _rows() -> None:
    """25 old results and 5 new ones."""
    TaskResult.objects.bulk_create(TaskResult(task_id=f"old-{n}") for n in range(25))
    TaskResult.objects.update(date_done=timezone.now() - timedelta(days=8))
    TaskResult.objects.bulk_create(TaskResult(task_id=f"new-{n}") for n in range(5))


def purge(**options: Any) -> int:
    limit = timezone.now() - timedelta(days=7)
    return delete_older(TABLE, "id", "date_done", limit, **options)


def left(prefix: str) -> int:
    return int(TaskResult.objects.filter(task_id__startswith=prefix).count())


@contextmanager
def another_connection() -> Iterator[Any]:
    """Give a connection beside the test's own."""
    other = connections.create_connection("default")
    try:
        yield other
    finally:
        other.close()


def test_what_is_old_goes_and_what_is_not_stays() -> None:
    assert purge(batch=10) == 25
    assert (left("old"), left("new")) == (0, 5)
    assert purge(batch=10) == 0


def test_each_batch_is_a_transaction_of_its_own() -> None:
    seen: list[int] = []

    def fail_at_the_third(execute: Callable[..., Any], *args: Any) -> Any:
        with another_connection() as other, other.cursor() as cursor:
            cursor.execute(COUNT_OLD)
            seen.append(cursor.fetchone()[0])
        if len(seen) == 3:
            raise RuntimeError("the worker was killed")
        return execute(*args)

    with connection.execute_wrapper(fail_at_the_third), pytest.raises(RuntimeError):
        purge(batch=10)
    assert seen == [25, 15, 5], "the others see each batch as soon as it is done"
    assert left("old") == 5


def test_a_batch_never_deletes_more_than_its_size() -> None:
    assert purge(batch=10, seconds=0) == 10


def test_the_oldest_go_first_and_the_next_run_goes_on() -> None:
    ancient = TaskResult.objects.get(task_id="old-17")
    TaskResult.objects.filter(pk=ancient.pk).update(date_done=timezone.now() - timedelta(days=99))
    assert purge(batch=1, seconds=0) == 1
    assert not TaskResult.objects.filter(pk=ancient.pk).exists()
    assert purge(batch=10) == 24


def test_a_row_that_somebody_holds_is_passed_over_not_waited_for() -> None:
    with another_connection() as other:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(HOLD_ONE)
        assert purge(batch=10) == 24
        other.rollback()
    assert purge(batch=10) == 1


def test_readers_and_writers_do_not_wait_for_a_batch() -> None:
    done, go_on = threading.Event(), threading.Event()

    def hold_a_batch_open() -> None:
        try:
            with transaction.atomic():
                purge(batch=10, seconds=0)
                done.set()
                go_on.wait(180)
        finally:
            connections.close_all()

    batch = threading.Thread(target=hold_a_batch_open)
    batch.start()
    try:
        wait_for(done.is_set, "the batch is deleted and not committed")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")  # a wait would be an error
        assert left("old") == 25
        TaskResult.objects.create(task_id="new-5")
        TaskResult.objects.filter(task_id="new-0").update(status="SUCCESS")
        assert purge(batch=100) == 15, "another run takes the others"
    finally:
        go_on.set()
        batch.join()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert (left("old"), left("new")) == (0, 6)
