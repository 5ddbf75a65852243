"""A report whose workers die in the middle is the same report."""

from __future__ import annotations

import psycopg
import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from apps.reports.models import Chunk, Report
from bench.csv_files import flights
from durable.queue.endings.actions import pause, resume
from durable.queue.endings.janitor import Janitor
from durable.queue.models import Task
from tests.fixtures_durable import TASKS, main_process
from tests.fixtures_worker import StartRole, database_url, wait_for

from .helpers import upload, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


def now(report: Report) -> Report:
    report.refresh_from_db()
    return report


def test_a_report_is_the_same_when_processes_and_a_worker_are_killed_in_the_middle(
    start_role: StartRole, janitor: Janitor, settings: Settings
) -> None:
    settings.REPORTS_CHUNK_KB = 48
    owner = User.objects.create_user("ada")
    data = b"".join(flights(1))
    expected = work(upload(owner, data))
    Task.objects.all().delete()
    survivor, victim = (
        main_process(start_role("worker", "-n", f"{name}@%h", **TASKS))
        for name in ("survivor", "victim")
    )
    pause("queue", "reports", "the test")
    report = upload(owner, data)
    with psycopg.connect(database_url()) as other:
        # However fast they are: without the last one, the kill is in the middle.
        last = "SELECT 1 FROM reports_chunk WHERE number = %s FOR UPDATE"
        other.execute(last, [report.chunks_total - 1])
        resume("queue", "reports")
        wait_for(lambda: now(report).chunks_done, "a chunk is done")
        assert now(report).chunks_done < report.chunks_total
        for process in (*survivor.children(), *victim.children(recursive=True), victim):
            process.kill()
    wait_for(lambda: now(report).is_finished, "the report is finished")
    assert report.state == Report.State.DONE
    assert report.result == expected.result
    assert report.chunks_done == report.chunks_total > 20
    wait_for(lambda: not Task.objects.exists(), "nothing is left to do")
    assert not Chunk.objects.exists()
