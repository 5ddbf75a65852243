"""From chunks to a report: everything may run twice, late or at the same time."""

from __future__ import annotations

import json
import random
import threading
from uuid import uuid4

import pytest
from celery import signals
from celery.app.task import Context
from celery.exceptions import Retry, SoftTimeLimitExceeded, TimeLimitExceeded
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from apps.reports import processing, profile
from apps.reports.models import Chunk, Report
from apps.reports.tasks import merge_report, profile_chunk
from durable.queue.endings import quarantine
from durable.queue.models import Task
from durable.queue.results import Quarantined
from durable.queue.tasks import call_on_failure

from .helpers import called, run, upload, work

TABLE = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number % 7) for number in range(1000))

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def report(owner: User) -> Report:
    return upload(owner, TABLE)


def numbers(report: Report) -> list[int]:
    return list(Chunk.objects.filter(report=report).values_list("number", flat=True))


def profiled(report: Report, *chosen: int) -> None:
    for number in chosen:
        run(profile_chunk, str(report.pk), number)


def progress(report: Report) -> tuple[int, int]:
    report.refresh_from_db()
    return report.chunks_done, report.chunks_total


def merges() -> list[str]:
    return [arguments[0] for name, arguments in called() if name == merge_report.name]


def test_a_profiled_chunk_drops_its_data_and_is_counted(report: Report) -> None:
    profiled(report, 0)
    chunk = Chunk.objects.get(number=0)
    assert chunk.data is None
    assert chunk.partial
    assert progress(report) == (1, len(numbers(report)))


def test_a_chunk_that_runs_twice_is_counted_once_and_changes_no_total(
    owner: User, report: Report
) -> None:
    once = work(upload(owner, TABLE)).result
    total = len(numbers(report))
    for number in numbers(report):
        profiled(report, number, number, number)
        assert progress(report) == (number + 1, total)
    for _ in range(3):
        run(merge_report, str(report.pk))
    report.refresh_from_db()
    assert report.state == Report.State.DONE
    assert report.result == once


def test_chunks_may_be_profiled_in_any_order(owner: User, report: Report) -> None:
    expected = work(upload(owner, TABLE)).result
    shuffled = numbers(report)
    random.Random(0).shuffle(shuffled)
    profiled(report, *shuffled)
    run(merge_report, str(report.pk))
    report.refresh_from_db()
    assert report.result == expected


def test_who_finishes_the_last_chunk_calls_the_merge_and_a_repetition_does_not(
    report: Report,
) -> None:
    *others, last = numbers(report)
    profiled(report, *others)
    assert merges() == []
    profiled(report, last, last, others[0])
    assert merges() == [str(report.pk)]


def test_the_count_and_the_call_of_the_merge_are_one_transaction(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    *others, last = numbers(report)
    profiled(report, *others)

    def fails(report_id: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(merge_report, "delay_on_commit", fails)
        patch.setattr(profile_chunk, "on_failure", lambda *args: None)
        with pytest.raises(ZeroDivisionError):
            profiled(report, last)
    assert progress(report) == (len(others), len(others) + 1)
    profiled(report, last)
    assert merges() == [str(report.pk)]


def test_a_merge_that_comes_too_early_does_nothing(report: Report) -> None:
    profiled(report, 0)
    run(merge_report, str(report.pk))
    report.refresh_from_db()
    assert report.state == Report.State.PROCESSING


def test_a_finished_report_keeps_no_chunks(report: Report) -> None:
    done = work(report)
    assert done.state == Report.State.DONE
    assert done.is_finished
    assert done.finished_at is not None
    assert not Chunk.objects.exists()
    assert done.progress["done"] == done.progress["total"] > 5


def test_tasks_of_a_deleted_report_do_nothing(report: Report) -> None:
    Report.objects.get().delete()
    assert not Chunk.objects.exists()
    for report_id in (report.pk, uuid4()):
        run(profile_chunk, str(report_id), 0)
        run(merge_report, str(report_id))
    assert not Report.objects.exists()


def test_a_report_that_is_deleted_while_a_chunk_is_profiled_stays_deleted(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = profile.profile_chunk

    def meanwhile(*args: object, **kwargs: object) -> object:
        Report.objects.all().delete()
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(profile, "profile_chunk", meanwhile)
    profiled(report, 0)
    assert not Report.objects.exists()


# --- What fails ----------------------------------------------------------------------------------


def test_a_short_fault_of_the_database_is_waited_out(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([OperationalError("the server closed the connection")])

    def faulty(*args: object) -> None:
        for fault in faults:
            raise fault

    monkeypatch.setattr(processing, "profile_chunk", faulty)
    with pytest.raises(Retry):
        profile_chunk.apply(args=[str(report.pk), 0], throw=True, retries=0)
    assert profile_chunk.max_retries == 5
    report.refresh_from_db()
    assert report.state == Report.State.PROCESSING


def test_a_fault_of_the_database_that_lasts_fails_the_report_with_a_reason(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*args: object) -> None:
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(processing, "profile_chunk", faulty)
    profile_chunk.apply(args=[str(report.pk), 0], retries=5)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert "an error in the database" in report.error


def test_an_error_in_a_chunk_fails_the_report_with_a_reason(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(profile, "profile_chunk", wrong)
    profile_chunk.apply(args=[str(report.pk), 0])
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.is_finished
    assert report.error == (
        "The file could not be profiled: there was an error in the program; the worker's log "
        "has it."
    )
    assert not Chunk.objects.exists()


def test_an_error_in_the_merge_fails_the_report_with_a_reason(report: Report) -> None:
    profiled(report, *numbers(report))
    Report.objects.update(rows=1)
    merge_report.apply(args=[str(report.pk)])
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert "an error in the program" in report.error


def test_a_task_that_was_called_by_keyword_fails_the_report_as_well(report: Report) -> None:
    merge_report.on_failure(RuntimeError(), "t", [], {"report_id": str(report.pk)}, None)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED


def test_one_that_was_called_by_keyword_and_revoked_does_so_too(report: Report) -> None:
    request = Context(id="t", args=[], kwargs={"report_id": str(report.pk), "number": 0})
    signals.task_revoked.send(sender=profile_chunk, request=request, terminated=False)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.error.endswith(": its task was revoked.")


def test_a_chunk_in_quarantine_fails_the_report_with_a_reason(report: Report) -> None:
    """The queue has that told by a task; tests/test_durable_crashes.py has real crashes."""
    row = Task.objects.create(
        task_id="t", task=profile_chunk.name, body=json.dumps([[str(report.pk), 0], {}, {}])
    )
    quarantine.schedule_on_failure(row.pk, Quarantined("the process that ran it died"))
    name, arguments = called()[-1]
    assert name == call_on_failure.name
    call_on_failure.apply(args=arguments, throw=True)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.error == (
        "The file could not be profiled: each attempt ended with its process, as it does when "
        "memory runs out."
    )
    assert not Chunk.objects.exists()


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (SoftTimeLimitExceeded(), "CELERY_TASK_SOFT_TIME_LIMIT"),
        (TimeLimitExceeded(300), "CELERY_TASK_TIME_LIMIT"),
    ],
)
def test_a_time_limit_fails_the_report_and_names_the_setting(
    report: Report, error: Exception, setting: str
) -> None:
    profile_chunk.on_failure(error, "t", [str(report.pk), 0], {}, None)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.error.endswith(f": it took longer than {setting} allows.")


# --- All at once ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_chunks_that_finish_at_the_same_time_are_all_counted_and_one_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = upload(User.objects.create_user("ada"), TABLE)
    chunks = numbers(report)
    together = threading.Barrier(len(chunks))
    real = profile.profile_chunk

    def at_once(*args: object, **kwargs: object) -> bytes:
        partial = real(*args, **kwargs)  # type: ignore[arg-type]
        together.wait(180)
        return partial

    monkeypatch.setattr(profile, "profile_chunk", at_once)

    def one(number: int) -> None:
        try:
            profiled(report, number)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[number]) for number in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress(report) == (len(chunks), len(chunks))
    assert merges() == [str(report.pk)]


@pytest.mark.django_db(transaction=True)
def test_deleting_and_profiling_at_the_same_time_do_not_block_each_other_for_ever() -> None:
    report = upload(User.objects.create_user("ada"), TABLE)
    chunks = numbers(report)
    errors: list[BaseException] = []

    def profile_all() -> None:
        try:
            profiled(report, *chunks)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=profile_all) for _ in range(3)]
    with transaction.atomic():
        Report.objects.select_for_update().get(pk=report.pk)
        for thread in threads:
            thread.start()
        Report.objects.all().delete()
    for thread in threads:
        thread.join(240)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()
