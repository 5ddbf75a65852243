"""From chunks to a report: everything may be delivered twice, late or not at all."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from celery.exceptions import Retry
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.reports import processing, profile, tasks
from apps.reports.models import Chunk, Report
from apps.reports.services import delete_report
from apps.reports.tasks import merge_report, profile_chunk, start_profiling

from .helpers import upload, work

TABLE = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number % 7) for number in range(1000))

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def report(owner: User) -> Report:
    return upload(owner, TABLE)


def chunk_ids(report: Report) -> list[int]:
    return list(Chunk.objects.filter(report=report).values_list("pk", flat=True).order_by("number"))


def run(task: object, argument: object) -> None:
    task.apply(args=[argument], throw=True)  # type: ignore[attr-defined]


def progress(report: Report) -> tuple[int, int]:
    report.refresh_from_db()
    return report.chunks_done, report.chunks_total


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Collect the messages instead of sending them: this test is the worker."""
    messages: list[tuple[str, object]] = []
    for task in (start_profiling, profile_chunk, merge_report):
        name = task.name.rpartition(".")[2]
        monkeypatch.setattr(
            task, "delay", lambda argument, name=name: messages.append((name, argument))
        )
    return messages


def test_start_sends_a_task_for_each_chunk(report: Report, sent: list[tuple[str, object]]) -> None:
    run(start_profiling, str(report.pk))
    assert sent == [("profile_chunk", chunk_id) for chunk_id in chunk_ids(report)]


def test_start_again_sends_only_what_is_left(
    report: Report, sent: list[tuple[str, object]]
) -> None:
    first, *others = chunk_ids(report)
    run(profile_chunk, first)
    run(start_profiling, str(report.pk))
    assert sent == [("profile_chunk", chunk_id) for chunk_id in others]


def test_a_profiled_chunk_drops_its_data_and_is_counted(report: Report) -> None:
    first, *_ = chunk_ids(report)
    run(profile_chunk, first)
    chunk = Chunk.objects.get(pk=first)
    assert chunk.data is None
    assert chunk.done_at is not None
    ids, names = profile.load(bytes(chunk.partial or b""))
    assert ids.count == names.count == chunk.rows
    assert progress(report) == (1, len(chunk_ids(report)))


def test_a_chunk_that_runs_twice_is_counted_once_and_changes_no_total(
    owner: User, report: Report
) -> None:
    once = work(upload(owner, TABLE)).result
    total = len(chunk_ids(report))
    for number, chunk_id in enumerate(chunk_ids(report), 1):
        for _ in range(3):
            run(profile_chunk, chunk_id)
        assert progress(report) == (number, total)
    for _ in range(3):
        run(merge_report, str(report.pk))
    report.refresh_from_db()
    assert report.state == Report.State.DONE
    assert report.result == once


def test_chunks_may_be_profiled_in_any_order(owner: User, report: Report) -> None:
    expected = work(upload(owner, TABLE)).result
    shuffled = chunk_ids(report)
    random.Random(0).shuffle(shuffled)
    for chunk_id in shuffled:
        run(profile_chunk, chunk_id)
    run(merge_report, str(report.pk))
    report.refresh_from_db()
    assert report.result == expected


def test_the_transaction_that_finishes_the_last_chunk_sends_the_merge(
    report: Report,
    sent: list[tuple[str, object]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    *others, last = chunk_ids(report)
    with django_capture_on_commit_callbacks(execute=True):
        for chunk_id in others:
            run(profile_chunk, chunk_id)
    assert sent == []
    with django_capture_on_commit_callbacks(execute=True):
        run(profile_chunk, last)
        assert sent == []
    assert sent == [("merge_report", str(report.pk))]


def test_a_worker_that_died_before_it_sent_the_merge_sends_it_at_the_second_delivery(
    report: Report,
    sent: list[tuple[str, object]],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=False):
        for chunk_id in chunk_ids(report):
            run(profile_chunk, chunk_id)
    assert sent == []
    with django_capture_on_commit_callbacks(execute=True):
        run(profile_chunk, chunk_ids(report)[3])
    assert sent == [("merge_report", str(report.pk))]


def test_a_merge_that_comes_too_early_does_nothing(report: Report) -> None:
    run(profile_chunk, chunk_ids(report)[0])
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
    chunks = chunk_ids(report)
    assert delete_report(report.pk)
    assert not delete_report(report.pk)
    assert not Chunk.objects.exists()
    for chunk_id in chunks:
        run(profile_chunk, chunk_id)
    for task in (start_profiling, merge_report):
        run(task, str(report.pk))
        run(task, str(uuid4()))
    assert not Report.objects.exists()


def test_a_report_that_is_deleted_while_a_chunk_is_profiled_stays_deleted(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = profile.profile_chunk

    def meanwhile(*args: object, **kwargs: object) -> object:
        delete_report(report.pk)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(profile, "profile_chunk", meanwhile)
    run(profile_chunk, chunk_ids(report)[0])
    assert not Report.objects.exists()


# --- What fails ----------------------------------------------------------------------------------


def test_a_short_fault_of_the_database_is_waited_out(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([OperationalError("the server closed the connection")])

    def faulty(chunk_id: int, on_last: object) -> None:
        for fault in faults:
            raise fault

    monkeypatch.setattr(processing, "profile_chunk", faulty)
    with pytest.raises(Retry):
        profile_chunk.apply(args=[chunk_ids(report)[0]], throw=True, retries=0)
    assert profile_chunk.max_retries == 5
    report.refresh_from_db()
    assert report.state == Report.State.PROCESSING


def test_a_database_that_stays_away_leaves_the_report_to_be_resumed(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*args: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(processing, "profile_chunk", faulty)
    with pytest.raises(OperationalError):
        profile_chunk.apply(args=[chunk_ids(report)[0]], throw=True, retries=5)
    report.refresh_from_db()
    assert report.state == Report.State.PROCESSING


def test_an_error_in_a_chunk_fails_the_report_with_a_reason(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(profile, "profile_chunk", wrong)
    profile_chunk.apply(args=[chunk_ids(report)[0]])
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.is_finished
    assert report.error == (
        "The lines from 2 on could not be profiled because of an error in the program; "
        "the worker's log has it."
    )
    assert not Chunk.objects.exists()


def test_an_error_in_the_merge_fails_the_report_with_a_reason(report: Report) -> None:
    for chunk_id in chunk_ids(report):
        run(profile_chunk, chunk_id)
    Report.objects.update(rows=1)
    merge_report.apply(args=[str(report.pk)])
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.error.startswith("The profile could not be put together")


def test_a_chunk_that_kills_its_workers_is_given_up(report: Report) -> None:
    first = chunk_ids(report)[0]
    Chunk.objects.filter(pk=first).update(attempts=processing.MAX_ATTEMPTS - 1)
    run(profile_chunk, first)
    assert progress(report)[0] == 1

    second = chunk_ids(report)[1]
    Chunk.objects.filter(pk=second).update(attempts=processing.MAX_ATTEMPTS)
    run(profile_chunk, second)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert "could not be profiled" in report.error


def test_an_attempt_is_counted_before_it_is_made(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look(*args: object, **kwargs: object) -> None:
        seen.append(Chunk.objects.get(number=0).attempts)
        raise ZeroDivisionError

    monkeypatch.setattr(profile, "profile_chunk", look)
    profile_chunk.apply(args=[chunk_ids(report)[0]])
    assert seen == [1]


# --- What is stalled -----------------------------------------------------------------------------


def age(report: Report, by: timedelta) -> None:
    Report.objects.filter(pk=report.pk).update(active_at=timezone.now() - by)


def test_a_stalled_report_is_resumed_less_and_less_often(
    report: Report, sent: list[tuple[str, object]]
) -> None:
    second = timedelta(seconds=1)
    for resumes in range(4):
        wait = processing.STALLED_AFTER * 2**resumes
        age(report, wait - 5 * second)
        assert tasks.resume_stalled() == 0
        age(report, wait + 5 * second)
        assert tasks.resume_stalled() == 1
        assert tasks.resume_stalled() == 0
    assert sent == [("start_profiling", str(report.pk))] * 4


def test_progress_makes_a_report_as_good_as_new(
    report: Report, sent: list[tuple[str, object]]
) -> None:
    Report.objects.update(resumes=6)
    run(profile_chunk, chunk_ids(report)[0])
    assert tasks.resume_stalled() == 0
    age(report, processing.STALLED_AFTER * 1.1)
    assert tasks.resume_stalled() == 1


def test_a_report_that_lacks_only_its_merge_is_merged(
    report: Report, sent: list[tuple[str, object]]
) -> None:
    for chunk_id in chunk_ids(report):
        run(profile_chunk, chunk_id)
    age(report, processing.STALLED_AFTER * 1.1)
    sent.clear()
    assert tasks.resume_stalled() == 1
    assert sent == [("merge_report", str(report.pk))]


def test_a_finished_report_is_not_resumed(report: Report) -> None:
    work(report)
    age(report, timedelta(days=3))
    assert tasks.resume_stalled() == 0


def test_with_the_broker_away_a_stalled_report_stays_stalled(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(report_id: str) -> None:
        raise ConnectionError

    age(report, processing.STALLED_AFTER * 1.1)
    monkeypatch.setattr(start_profiling, "delay", away)
    with pytest.raises(ConnectionError):
        tasks.resume_stalled()
    sent: list[str] = []
    monkeypatch.setattr(start_profiling, "delay", sent.append)
    assert tasks.resume_stalled() == 1


# --- All at once ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_chunks_that_finish_at_the_same_time_are_all_counted_and_one_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = upload(User.objects.create_user("ada"), TABLE)
    chunks = chunk_ids(report)
    merges: list[str] = []
    monkeypatch.setattr(merge_report, "delay", merges.append)
    together = threading.Barrier(len(chunks))
    real = profile.dump

    def at_once(columns: list[object]) -> bytes:
        together.wait(60)
        return real(columns)  # type: ignore[arg-type]

    monkeypatch.setattr(profile, "dump", at_once)

    def one(chunk_id: int) -> None:
        try:
            processing.profile_chunk(chunk_id, merge_report.delay_on_commit)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[chunk_id]) for chunk_id in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress(report) == (len(chunks), len(chunks))
    assert merges == [str(report.pk)]


@pytest.mark.django_db(transaction=True)
def test_deleting_and_profiling_at_the_same_time_do_not_block_each_other_for_ever() -> None:
    report = upload(User.objects.create_user("ada"), TABLE)
    chunks = chunk_ids(report)
    errors: list[BaseException] = []

    def profile_all() -> None:
        try:
            for chunk_id in chunks:
                processing.profile_chunk(chunk_id, lambda report_id: None)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=profile_all) for _ in range(3)]
    with transaction.atomic():
        Report.objects.select_for_update().get(pk=report.pk)
        for thread in threads:
            thread.start()
        delete_report(report.pk)
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()
