"""Old reports go, and their chunks are never read for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apps.reports import tasks
from apps.reports.models import Chunk, Report
from durable.schedules.declare import declared
from proj.celery import app

from .helpers import upload, work

TABLE = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number % 7) for number in range(3000))


@pytest.mark.usefixtures("small_chunks")
def test_reports_expire_with_their_age_in_whatever_state(owner: User, settings: Settings) -> None:
    settings.REPORTS_EXPIRE_DAYS = 3
    old = [upload(owner, TABLE, "a"), work(upload(owner, TABLE, "b"))]
    limit = timezone.now() - timedelta(days=3)
    for report in old:
        Report.objects.filter(pk=report.pk).update(created_at=limit - timedelta(minutes=1))
    young = upload(owner, TABLE)
    Report.objects.filter(pk=young.pk).update(created_at=limit + timedelta(minutes=1))
    assert tasks.delete_old() == 2
    assert list(Report.objects.all()) == [young]
    assert set(Chunk.objects.values_list("report_id", flat=True)) == {young.pk}
    assert tasks.delete_old() == 0


@pytest.mark.usefixtures("small_chunks")
def test_a_report_goes_in_few_statements_however_many_chunks_it_has(
    owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert upload(owner, TABLE).chunks_total > 20
    Report.objects.update(created_at=timezone.now() - timedelta(days=999))
    with django_assert_max_num_queries(2) as queries:
        assert tasks.delete_old() == 1
    assert not any('"reports_chunk"."data"' in one["sql"] for one in queries)


def test_a_run_with_nothing_to_do_is_one_query(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert tasks.delete_old() == 0


def test_the_periodic_task_exists() -> None:
    names = {schedule.task for schedule in declared() if schedule.name.startswith("reports:")}
    assert names == {"apps.reports.tasks.delete_old"}
    assert names <= set(app.tasks)
