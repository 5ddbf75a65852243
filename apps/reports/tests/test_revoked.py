"""A task that a person has revoked doesn't leave its report in progress for ever."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apps.reports.models import Report
from apps.reports.tasks import merge_report, profile_chunk
from durable.queue.models import Task
from proj.celery import app

from .helpers import run, upload

TABLE = b"id,name\n" + b"".join(b"%d,name %d\n" % (number, number % 7) for number in range(1000))

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("small_chunks", "transactional_db"),
]


@pytest.mark.parametrize("name", [profile_chunk.name, merge_report.name])
def test_the_report_of_a_revoked_task_fails_and_says_so(owner: User, name: str) -> None:
    report = upload(owner, TABLE)
    if name == merge_report.name:
        for number in range(report.chunks_total):
            run(profile_chunk, str(report.pk), number)
    task = Task.objects.filter(task=name).order_by("id")[0]
    app.control.revoke(task.task_id)
    report.refresh_from_db()
    assert report.state == Report.State.FAILED
    assert report.error.endswith(": its task was revoked.")
    assert not report.chunks.exists()
    assert not Task.objects.filter(pk=task.pk).exists()
