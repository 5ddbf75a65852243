"""The console in a real browser: what it shows on every screen, and that it looks again by itself.

``SCREENSHOT_DIR`` keeps the pictures.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Now
from playwright.sync_api import expect

from durable.journal import minutes
from durable.journal.models import Entry
from durable.queue import store
from durable.queue.endings import quarantine
from durable.queue.models import Task, Worker
from durable.queue.tests.delivery import begin, deliver
from tests.browser import DESKTOP, Eyes, eyes
from tests.durable_tasks import add, effect, fails

__all__ = ["eyes"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("effect_table"),
]


def load() -> int:
    """Leave something to see on every page; return the id of an entry."""
    Entry.objects.all().delete()
    for number in range(40):
        (fails if number % 9 == 4 else add).delay_on_commit(number)
        deliver()
    minute = timedelta(minutes=1)
    for number, entry in enumerate(Entry.objects.order_by("id")):
        Entry.objects.filter(pk=entry.pk).update(ended_at=Now() - minute * (number % 23 + 1))
    Entry.objects.update(
        called_at=F("ended_at") - minute / 30, due_at=F("ended_at") - minute / 40,
        started_at=F("ended_at") - minute / 90,
    )  # fmt: skip
    minutes.fold()
    effect.delay_on_commit("poison")
    row = Task.objects.get()
    for _ in range(5):
        begin(row, "gone")
        quarantine.release("worker = 'gone'", {}, "the process that ran it died")
    for label in ("a", "b", "c"):
        effect.apply_async_on_commit((label,), queue="mail")
    Task.objects.filter(queue="mail").update(due_at=Now() - timedelta(minutes=12))
    store.beat("w", "worker-1", 7, 4, ["default", "reports"])
    Worker.objects.update(seen_at=Now() + timedelta(hours=1))  # the test is no worker
    effect.delay_on_commit("runs")
    begin(Task.objects.get(quarantined_at=None, queue="default"), "w")
    return Entry.objects.filter(state="FAILURE")[0].pk


def test_the_console_is_readable_on_every_screen_and_looks_again_by_itself(eyes: Eyes) -> None:
    entry = load()
    User.objects.create_superuser("root", password="correct-horse-9")
    page = eyes.open(DESKTOP)
    page.goto("/ops/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct-horse-9")
    page.get_by_role("button", name="Log in").click()
    verdict = page.locator("#verdict")
    expect(verdict).to_have_text(re.compile("3 tasks of mail wait for .*: no worker takes from it"))
    for path, name in {
        "": "now", "tasks/": "tasks", f"tasks/{entry}/": "task", "failures/": "failures",
        "queues/": "queues", "schedules/": "schedules",
        "confirm/retry/?q=state:failed": "confirm",
    }.items():  # fmt: skip
        eyes.look(page.context, f"/ops/{path}", f"console-{name}", "h1")
    Task.objects.filter(queue="mail").delete()
    expect(verdict).not_to_contain_text("mail")
    assert eyes.faults == []
