"""The console in a real browser: every page on every screen, whatever is wrong, and by itself.

``SCREENSHOT_DIR`` keeps the pictures.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta

import pytest
from celery import group
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from playwright.sync_api import expect

from durable.backups.models import Backup
from durable.console.access import TABS
from durable.console.models import Deed
from durable.database import locks
from durable.journal import minutes
from durable.journal.models import Entry
from durable.queue import store
from durable.queue.caller.calls import durable
from durable.queue.endings import actions, quarantine
from durable.queue.models import Task, Worker
from durable.queue.tests.delivery import begin, deliver
from durable.schedules.tests.scheduling import periodic
from tests.browser import DESKTOP, Eyes, eyes
from tests.cable import Cable, through
from tests.durable_tasks import add, effect, fails
from tests.fixtures_worker import database_url, wait_for

User = get_user_model()

__all__ = ["eyes"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("effect_table"),
]
PAGES = {name: "" if name == "now" else f"{name}/" for name in TABS}


@pytest.fixture
def web_settings(database: Cable, broker: Cable) -> dict[str, str]:
    """PostgreSQL and the broker can be taken away."""
    return {
        "DATABASE_URL": through(database, database_url()),
        "CELERY_BROKER_URL": through(broker, os.environ["CELERY_BROKER_URL"]),
    }


def rest() -> None:
    """Leave a stack that has nothing to do: a worker and a beat that live while the test does."""
    Entry.objects.all().delete()
    store.beat("w", "worker-1", 7, 4, ["default", "mail", "reports"])
    Worker.objects.update(seen_at=Now() + timedelta(hours=1))
    with connection.cursor() as cursor:
        wait_for(lambda: locks.take(cursor, locks.LEADER), "the beat of another test is gone")


def load() -> dict[str, str]:
    """Leave something to see on every page; return the pages of some tasks."""
    for number in range(40):
        (fails if number % 9 == 4 else add).delay_on_commit(number)
        deliver()
    with durable():
        (add.s(1, 2) | group(add.s(number) for number in range(10)) | add.s()).delay()
    first = Task.objects.get()
    deliver(first)
    deliver(Task.objects.order_by("id")[0])
    minute = timedelta(minutes=1)
    for number, entry in enumerate(Entry.objects.order_by("id")):
        Entry.objects.filter(pk=entry.pk).update(ended_at=Now() - minute * (number % 23 + 1))
    Entry.objects.update(
        called_at=F("ended_at") - minute / 30, due_at=F("ended_at") - minute / 40,
        started_at=F("ended_at") - minute / 90,
    )  # fmt: skip
    minutes.fold()
    effect.delay_on_commit("poison")
    poison = Task.objects.get(task=effect.name)
    for _ in range(5):
        begin(poison, "gone")
        quarantine.release("worker = 'gone'", {}, "the process that ran it died")
    Worker.objects.update(queues="default,reports")
    for label in ("a", "b", "c"):
        effect.apply_async_on_commit((label,), queue="mail")
    Task.objects.filter(queue="mail").update(due_at=Now() - timedelta(minutes=12))
    runs = Task.objects.filter(task=add.name)[0]
    begin(runs, "w")
    periodic("nightly")
    actions.pause("queue", "reports", "root")
    actions.pause("task", fails.name, "root")
    now = timezone.now()
    Backup.objects.create(file="proven.dump", dumped_at=now, proven_at=now, bytes=9_000_000)
    Backup.objects.create(file="failed.dump", failed_at=now, error="pg_dump: error: no space left")
    Deed.objects.create(who="root", what="retry", target="state:failed", found=9, done=4)
    Deed.objects.create(
        who="root", what="pause", target="reports", found=1, done=1, finished_at=now
    )
    failed = Entry.objects.filter(state="FAILURE")[0]
    return {
        "task-failed": f"tasks/{failed.pk}/", "task-of-a-chain": f"tasks/{first.pk}/",
        "task-poison": f"tasks/{poison.pk}/", "task-runs": f"tasks/{runs.pk}/",
        "tasks-wrong": "tasks/?q=color:red", "confirm": "confirm/retry/?q=state:failed",
    }  # fmt: skip


def test_every_page_is_readable_on_every_screen_whatever_is_wrong_and_looks_again_by_itself(
    eyes: Eyes, database: Cable, broker: Cable
) -> None:
    rest()
    User.objects.create_superuser("root", password="correct-horse-9")
    page = eyes.open(DESKTOP)
    page.goto("/ops/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct-horse-9")
    page.get_by_role("button", name="Log in").click()
    verdict = page.locator("#verdict")
    expect(verdict).to_have_text(re.compile("All is well"))

    def look(pages: dict[str, str], when: str) -> None:
        for name, path in pages.items():
            eyes.look(page.context, f"/ops/{path}", f"console-{name}-{when}", "h1")

    look(PAGES, "at-rest")
    tasks = load()
    expect(verdict).to_have_text(re.compile("3 tasks of mail wait for .*: no worker takes from it"))
    look(PAGES | tasks, "under-load")

    broker.pull()
    expect(page.locator("main")).to_contain_text("The broker does not answer")
    look({"now": ""}, "without-broker")
    broker.plug()
    database.pull()
    expect(verdict).to_contain_text("PostgreSQL does not answer")
    look({"now": "", "tasks": "tasks/"}, "without-postgresql")
    database.plug()
    Task.objects.filter(queue="mail").delete()
    expect(verdict).not_to_contain_text(re.compile("mail|PostgreSQL"))
    # Chromium names an answer's status too; these are meant.
    assert [fault for fault in eyes.faults if "status of 503" not in fault] == []
