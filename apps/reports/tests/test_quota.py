"""One person can't fill the database, and all together can't either."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from apps.reports.models import Report
from apps.reports.uploads import start_upload
from durable.web.uploads import FileError

from .helpers import upload, work
from .requests import csv_file

pytestmark = pytest.mark.django_db

MB = 1024 * 1024
SMALL = b"a,b\n1,2\n"


def kept(owner: User, **fields: Any) -> Report:
    report: Report = Report.objects.create(owner=owner, name="a.csv", state="done")
    Report.objects.filter(pk=report.pk).update(**fields)
    return report


def full_of_reports(owner: User) -> None:
    kept(owner, created_at=kept(owner).created_at - timedelta(days=1))


def full_of_bytes(owner: User) -> None:
    kept(owner, size_bytes=10 * MB)


def at_once(owner: User) -> None:
    for _ in range(2):
        start_upload(owner, "a.csv")


def within_an_hour(owner: User) -> None:
    kept(owner)


def waits_in_all(owner: User) -> None:
    other = User.objects.create(username="another")
    kept(other, state=Report.State.PROCESSING, size_bytes=20 * MB)


@pytest.mark.parametrize(
    ("limit", "number", "fill", "status", "code"),
    [
        ("REPORTS_KEPT", 2, full_of_reports, 403, "too_many_kept"),
        ("REPORTS_KEPT_MB", 10, full_of_bytes, 403, "too_much_kept"),
        ("REPORTS_UPLOADS_AT_ONCE", 2, at_once, 429, "too_many_at_once"),
        ("REPORTS_UPLOADS_PER_HOUR", 1, within_an_hour, 429, "too_many_per_hour"),
        ("REPORTS_UNPROCESSED_MB", 20, waits_in_all, 503, "too_much_waits"),
    ],
)
def test_beyond_a_limit_an_upload_is_refused_with_words(
    api: Client,
    owner: User,
    settings: Settings,
    limit: str,
    number: int,
    fill: Callable[[User], None],
    status: int,
    code: str,
) -> None:
    setattr(settings, limit, number)
    fill(owner)
    before = Report.objects.count()
    answer = api.post("/api/reports", {"file": csv_file(SMALL)})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status != 403)
    assert Report.objects.count() == before
    setattr(settings, limit, 0)
    assert api.post("/api/reports", {"file": csv_file(SMALL)}).status_code == 202, "0 is any number"


def test_another_persons_reports_take_nobodys_room(owner: User, settings: Settings) -> None:
    settings.REPORTS_KEPT, settings.REPORTS_KEPT_MB = 1, 1
    kept(User.objects.create(username="another"), size_bytes=5 * MB)
    assert upload(owner, SMALL).state == Report.State.PROCESSING


def test_what_a_request_announces_is_reserved_while_it_arrives(
    owner: User, settings: Settings
) -> None:
    settings.REPORTS_KEPT_MB = 10
    start_upload(owner, "a.csv", announced=9 * MB)
    with pytest.raises(FileError, match="Delete some first"):
        start_upload(owner, "b.csv", announced=2 * MB)


def test_two_that_announce_nothing_have_not_the_same_room(owner: User, settings: Settings) -> None:
    settings.REPORTS_KEPT_MB = 10
    first = start_upload(owner, "a.csv")
    with pytest.raises(FileError, match="Delete some first"):
        start_upload(owner, "b.csv")
    first.write(SMALL)
    first.finish()
    assert upload(owner, SMALL).size_bytes == len(SMALL)


def test_one_that_announces_nothing_ends_where_the_room_does(
    owner: User, settings: Settings
) -> None:
    settings.REPORTS_KEPT_MB = 1
    with pytest.raises(FileError, match="Delete some first"):
        upload(owner, b"a,b\n" * 400_000)
    assert not Report.objects.exists()


def test_a_repeated_upload_is_answered_whatever_is_kept(owner: User, settings: Settings) -> None:
    first = upload(owner, SMALL, key="k")
    settings.REPORTS_KEPT = 1
    assert upload(owner, SMALL, key="k") == first


def test_the_names_of_columns_are_short_and_stored_once(owner: User) -> None:
    with pytest.raises(FileError, match="The name of column 2 is longer than 200 characters"):
        upload(owner, b"a," + b"b" * 201 + b"\n1,2\n")
    report = work(upload(owner, b"a," + b"b" * 200 + b"\n1,2\n"))
    assert report.columns == []
    assert report.result is not None
    assert report.result["columns"][1]["name"] == "b" * 200
