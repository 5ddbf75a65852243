"""Storing an upload: chunk by chunk, all or nothing, once for each idempotency key."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, reset_queries
from django.utils import timezone
from pytest_django import Settings

from apps.reports import tasks, uploads
from apps.reports.models import Chunk, Report
from apps.reports.uploads import start_upload
from durable.web.uploads import FileError, Interrupted

from .helpers import called, upload

TABLE = b"id;name\n" + b"".join(b"%d;name %d\n" % (number, number % 7) for number in range(1000))
OTHER = TABLE.replace(b"name 3", b"nome 3")


@pytest.mark.usefixtures("small_chunks")
def test_an_upload_becomes_a_report_in_progress(owner: User) -> None:
    report = upload(owner, TABLE)
    stored = Report.objects.get()
    assert stored == report
    assert stored.state == report.state == Report.State.PROCESSING
    assert stored.owner == owner
    assert stored.name == "table.csv"
    assert stored.size_bytes == report.size_bytes == len(TABLE)
    assert stored.sha256 == hashlib.sha256(TABLE).hexdigest()
    assert stored.delimiter == ";"
    assert stored.columns == ["id", "name"]
    assert stored.rows == 1000
    assert stored.progress == {"done": 0, "total": Chunk.objects.count()}
    assert stored.progress == report.progress


@pytest.mark.usefixtures("small_chunks")
def test_the_chunks_are_the_file_without_its_header(owner: User) -> None:
    upload(owner, TABLE)
    chunks = list(Chunk.objects.order_by("number"))
    assert len(chunks) > 5
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert b"".join(bytes(chunk.data or b"") for chunk in chunks) == TABLE.partition(b"\n")[2]


@pytest.mark.usefixtures("small_chunks")
def test_chunks_are_stored_while_the_upload_goes_on(owner: User) -> None:
    incoming = start_upload(owner, "table.csv")
    incoming.write(TABLE[:5000])
    assert Chunk.objects.count() == 4
    assert Report.objects.get(pk=incoming.report.pk).state == Report.State.UPLOADING


@pytest.mark.usefixtures("small_chunks")
def test_finishing_calls_a_task_for_each_chunk_in_its_transaction(owner: User) -> None:
    report = upload(owner, TABLE)
    assert report.chunks_total > 5
    own = [[str(report.pk), number] for number in range(report.chunks_total)]
    assert called() == [(tasks.profile_chunk.name, arguments) for arguments in own]


@pytest.mark.usefixtures("small_chunks")
def test_an_upload_that_could_not_be_finished_calls_nothing(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(tasks.profile_chunk, "map_on_commit", full)
    with pytest.raises(OperationalError):
        upload(owner, TABLE)
    assert called() == []
    assert not Report.objects.exists()


@pytest.mark.usefixtures("small_chunks")
def test_a_bad_file_leaves_nothing_behind(owner: User) -> None:
    with pytest.raises(FileError) as caught:
        upload(owner, TABLE + b"1;2;3\n", key="k", piece=2000)
    assert (caught.value.code, caught.value.line) == ("ragged_row", 1002)
    assert not Report.objects.exists()
    assert not Chunk.objects.exists()
    assert upload(owner, TABLE, key="k").rows == 1000


def test_an_aborted_upload_leaves_nothing_behind(owner: User) -> None:
    incoming = start_upload(owner, "table.csv", key="k")
    incoming.write(TABLE)
    incoming.abort()
    incoming.abort()
    assert not Report.objects.exists()
    with pytest.raises(Interrupted):
        incoming.finish()


def test_a_finished_upload_can_not_be_aborted(owner: User) -> None:
    incoming = start_upload(owner, "table.csv")
    incoming.write(TABLE)
    incoming.finish()
    incoming.abort()
    assert Report.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("small_chunks")
def test_an_upload_whose_report_is_deleted_meanwhile_is_told_so() -> None:
    owner = User.objects.create_user("ada")
    for step in ("write", "finish"):
        incoming = start_upload(owner, "table.csv")
        incoming.write(TABLE[:3000])
        Report.objects.get(pk=incoming.report.pk).delete()
        with pytest.raises(Interrupted):
            incoming.write(TABLE[3000:]) if step == "write" else incoming.finish()
    assert not Chunk.objects.exists()


def test_names_are_shortened_and_lose_what_can_not_be_printed(owner: User) -> None:
    start_upload(owner, "\0\n" + "a" * 300 + ".csv")
    assert Report.objects.get().name == "a" * 251 + ".csv"


# --- Idempotency ---------------------------------------------------------------------------------


def test_the_same_key_and_content_give_the_same_report(owner: User) -> None:
    first = upload(owner, TABLE, key="k")
    again = upload(owner, TABLE, key="k")
    assert again == first
    assert Report.objects.count() == 1
    assert Chunk.objects.count() == 1


def test_the_same_key_with_another_content_is_a_conflict(owner: User) -> None:
    first = upload(owner, TABLE, key="k")
    for other in (OTHER, TABLE[:100], b"", b"no table"):
        with pytest.raises(FileError, match="another content"):
            upload(owner, other, key="k")
    assert list(Report.objects.all()) == [first]


def test_a_key_of_an_upload_in_progress_can_not_be_used(owner: User) -> None:
    incoming = start_upload(owner, "table.csv", key="k")
    with pytest.raises(FileError, match="is in progress"):
        start_upload(owner, "table.csv", key="k")
    incoming.abort()
    start_upload(owner, "table.csv", key="k")


def test_another_owner_may_use_the_same_key(owner: User) -> None:
    other = User.objects.create_user("grace")
    assert upload(owner, TABLE, key="k") != upload(other, OTHER, key="k")


def test_without_a_key_each_upload_is_a_report_of_its_own(owner: User) -> None:
    assert upload(owner, TABLE) != upload(owner, TABLE)
    assert upload(owner, TABLE, key="") != upload(owner, TABLE, key="")


def test_the_key_of_a_deleted_report_is_free_again(owner: User) -> None:
    upload(owner, TABLE, key="k").delete()
    assert upload(owner, OTHER, key="k").state == Report.State.PROCESSING


# --- Abandoned uploads ---------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_an_upload_whose_process_died_is_swept_and_its_key_is_free(owner: User) -> None:
    dead, alive = start_upload(owner, "a.csv", key="a"), start_upload(owner, "b.csv", key="b")
    for incoming in (dead, alive):
        incoming.write(TABLE[:5000])
    finished = upload(owner, TABLE)
    long_ago = timezone.now() - tasks.ABANDONED_AFTER - timedelta(seconds=1)
    Report.objects.exclude(pk=alive.report.pk).update(active_at=long_ago)
    assert tasks.delete_old() == 1
    assert set(Report.objects.values_list("pk", flat=True)) == {alive.report.pk, finished.pk}
    start_upload(owner, "a.csv", key="a")


def test_a_slow_upload_shows_that_it_lives(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tasks.ABANDONED_AFTER.total_seconds() > 5 * uploads.SIGN_OF_LIFE
    incoming = start_upload(owner, "a.csv")
    Report.objects.update(active_at=timezone.now() - tasks.ABANDONED_AFTER)
    incoming.write(b"a")
    # Not yet: a piece every millisecond must not be a statement every millisecond.
    assert Report.objects.get().active_at < timezone.now() - timedelta(minutes=1)
    monkeypatch.setattr(uploads, "SIGN_OF_LIFE", 0)
    incoming.write(b",b\n")
    assert tasks.delete_old() == 0


# --- What must not grow --------------------------------------------------------------------------


@pytest.mark.usefixtures("small_chunks")
def test_in_debug_mode_the_statements_with_the_chunks_are_not_kept(
    owner: User, settings: Settings
) -> None:
    settings.DEBUG = True
    reset_queries()
    upload(owner, TABLE)
    assert len(connection.queries) < 10
