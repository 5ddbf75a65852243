"""The pages show what is there, to those who may see it, and say what is wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from celery import group
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.console import access
from durable.console.access import TABS
from durable.console.models import Deed
from durable.journal import minutes
from durable.journal.models import Entry
from durable.queue import places, progress, store
from durable.queue.caller.calls import durable
from durable.queue.endings import quarantine
from durable.queue.models import Pause, Task
from durable.queue.tests.delivery import begin, deliver, hold
from durable.schedules.models import DeclaredSchedule
from tests.durable_tasks import add, effect, fails
from tests.fixtures_worker import wait_for

from .conftest import read

User = get_user_model()

pytestmark = pytest.mark.usefixtures("effect_table", "fresh")


def test_only_staff_with_the_permission_see_it(client: Client) -> None:
    url = reverse("console:now")
    assert client.get(url)["Location"].startswith(reverse("admin:login"))
    user = User.objects.create(username="u")
    client.force_login(user)
    assert client.get(url).status_code == 403
    User.objects.update(is_staff=True)
    assert client.get(url).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_console"))
    page = read(client, "now")
    assert "read only" in page
    call = add.delay_on_commit(1, 2)
    page = read(client, "task", Task.objects.get(task_id=call.id).pk)
    assert "You may not see them" in page
    assert "Discard" not in page
    assert client.post(reverse("console:do", args=["discard"]), {"id": 1}).status_code == 403


def test_every_page_answers_with_and_without_anything_to_show(admin_client: Client) -> None:
    for name in TABS:
        read(admin_client, name)
    for label in "abc":
        fails.delay_on_commit(label)
        deliver(Task.objects.get(quarantined_at=None))
    effect.delay_on_commit("waits")
    store.beat("w", "host", 1, 2, ["default"])
    Entry.objects.update(ended_at=Now() - timedelta(minutes=2))
    minutes.fold()
    for name in TABS:
        page = read(admin_client, name)
        assert "<style" not in page, name
        assert " style=" not in page, name
        assert "<script>" not in page, name


class TestNow:
    def test_says_which_queue_no_worker_takes_from_and_for_how_long(
        self, admin_client: Client
    ) -> None:
        for _ in range(3):
            add.apply_async_on_commit((1,), queue="mail")
        Task.objects.update(due_at=Now() - timedelta(hours=3))
        assert "3 tasks of mail wait for 3 h: no worker is alive." in read(admin_client, "now")
        store.beat("w", "host", 1, 2, ["default"])
        page = read(admin_client, "now")
        assert "3 tasks of mail wait for 3 h: no worker takes from it." in page

    def test_says_that_nothing_is_wrong_if_nothing_is(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [0x62656174, 1])
            try:
                store.beat("w", "host", 1, 2, ["default"])
                wait_for(
                    lambda: "All is well: 1 worker" in read(admin_client, "now"),
                    "the broker has answered in time",
                )
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [0x62656174, 1])

    def test_shows_the_last_that_was_known_while_postgresql_is_away(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read(admin_client, "now")
        monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")
        connections["default"].close()
        answer = admin_client.get(reverse("console:now"))
        assert answer.status_code == 503
        assert "PostgreSQL does not answer" in answer.content.decode()
        assert "admin" in answer.content.decode()
        access._seen.clear()
        assert "operations" not in admin_client.get(reverse("console:now")).content.decode()
        monkeypatch.undo()
        connections["default"].close()


def test_a_backlog_is_told_by_its_ages(admin_client: Client) -> None:
    for seconds in (0, 30, 300, 1800, 1800, 20_000, 200_000, -600):
        add.delay_on_commit(1)
        newest = Task.objects.order_by("-id")[:1].values("pk")
        Task.objects.filter(pk__in=newest).update(due_at=Now() - timedelta(seconds=seconds))
    page = admin_client.get(reverse("console:queues"))
    [ages] = [one[3] for one in page.context["lines"] if one[0].name == "default"]
    assert ages[2:] == [1, 2, 1, 1], "the newest may have come of age meanwhile"
    assert sum(ages) == 7


class TestTasks:
    def test_finds_by_every_word(self, admin_client: Client) -> None:
        add.apply_async_on_commit((1, 2), headers={"request_id": "r-9", "user": "7"})
        deliver()
        fails.apply_async_on_commit(("boom",), queue="mail")
        deliver()
        effect.delay_on_commit("order-42")
        for text, names in {
            "": "add fails effect", "task:durable_tasks.add": "add", "queue:mail": "fails",
            "state:failed": "fails", "state:ready": "effect", "error:boom": "fails",
            "request:r-9": "add", "user:7": "add", "arg:order-42": "effect", "older:1h": "",
            "newer:1h state:done": "add",
        }.items():  # fmt: skip
            page = admin_client.get(reverse("console:tasks"), {"q": text})
            found = {one.task.rpartition(".")[2] for one in page.context["found"].lines}
            assert found == set(names.split()), text

    def test_says_what_would_be_right_of_a_filter_that_is_wrong(self, admin_client: Client) -> None:
        assert "the words are task" in read(admin_client, "tasks", q="color:red")
        assert "expected an age such as" in read(admin_client, "tasks", q="older:long")

    def test_pages_through_rows_and_entries_in_one_order(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from durable.console import conf, filters, listing

        for number in range(6):
            add.delay_on_commit(number)
            if number % 2:
                deliver(Task.objects.order_by("-id")[0])
        monkeypatch.setattr(conf, "SCAN", 2)
        seen, before = [], None
        while True:
            page = listing.page(filters.parse("task:add"), before, 4)
            seen += [one.id for one in page.lines]
            if (before := page.before) is None:
                break
        assert len(seen) == 6
        assert seen == sorted(seen, reverse=True)


def test_what_belongs_together_is_drawn_with_states_and_links(admin_client: Client) -> None:
    with durable():
        (add.s(1, 2) | group(add.s(number) for number in range(10)) | add.s()).delay()
    first = Task.objects.get()
    page = read(admin_client, "task", first.pk)
    assert "to come" in page
    deliver(first)
    members = list(Task.objects.order_by("pk"))
    deliver(members[0])
    for pk in (first.pk, members[0].pk, members[9].pk):
        page = read(admin_client, "task", pk)
        assert page.count('class="node') == 9, page
        assert "4 more" in page
        assert f"{add.name}: done" in page
        assert "to come" in page
    for row in members[1:]:
        deliver(row)
    body = Task.objects.get()
    assert ">ready<" in read(admin_client, "task", first.pk)
    deliver(body)
    page = read(admin_client, "task", body.pk)
    assert "to come" not in page
    assert reverse("console:task", args=[first.pk]) in page


class TestDeeds:
    def test_a_failed_task_is_started_again_once_under_its_id(self, admin_client: Client) -> None:
        call = fails.delay_on_commit("a")
        deliver()
        ended = Entry.objects.get(task_id=call.id)
        page = read(admin_client, "task", ended.pk)
        assert "Start it again" in page
        assert "ValueError" in page
        for expected in ("The task is started again.", "it was started again before"):
            answer = admin_client.post(
                reverse("console:do", args=["retry"]), {"id": ended.pk, "task": "x"}, follow=True
            )
            assert expected in answer.content.decode()
        row = Task.objects.get()
        assert (row.task_id, row.body) == (call.id, ended.body)
        deliver(row)
        assert Entry.objects.filter(task_id=call.id).count() == 2

    def test_a_group_is_started_again_by_a_task_that_does_each_once(
        self, admin_client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from durable.console import conf

        monkeypatch.setattr(conf, "CHUNK", 2)
        for number in range(5):
            fails.delay_on_commit(str(number))
            deliver()
        q = f"task:={fails.name} state:failed"
        page = read(admin_client, "confirm", "retry", q=q)
        assert "Start again: 5" in page
        admin_client.post(reverse("console:do", args=["retry"]), {"q": q, "found": "5"})
        late = fails.delay_on_commit("called after it was confirmed")
        deliver(Task.objects.get(task_id=late.id))
        deliver(Task.objects.get(task__endswith="work_off"))
        deed = Deed.objects.get()
        assert (deed.done, deed.skipped, deed.who) == (5, 0, "admin")
        assert deed.finished_at is not None
        assert Task.objects.filter(task=fails.name).count() == 5
        assert Entry.objects.get(task_id=late.id).replayed_at is None

    def test_a_running_task_that_is_cancelled_cannot_commit_any_more(
        self, admin_client: Client
    ) -> None:
        call = effect.delay_on_commit("a")
        row = Task.objects.get()
        number = begin(row)
        answer = admin_client.post(
            reverse("console:do", args=["cancel"]), {"id": row.pk}, follow=True
        )
        assert "commit any more" in answer.content.decode()
        assert not store.finish_one(row.pk, number)
        assert call.state == "REVOKED"
        assert Entry.objects.get(task_id=call.id).result == "cancelled by admin"

    def test_a_paused_queue_gives_no_rows_until_it_is_resumed(self, admin_client: Client) -> None:
        add.delay_on_commit(1, 2)
        admin_client.post(reverse("console:do", args=["pause"]), {"queue": "default"})
        assert Pause.objects.get().who == "admin"
        assert hold() == []
        assert "paused" in read(admin_client, "queues")
        admin_client.post(reverse("console:do", args=["resume"]), {"queue": "default"})
        assert len(hold()) == 1

    def test_a_paused_task_waits_in_its_queue_while_others_are_taken(
        self, admin_client: Client
    ) -> None:
        add.delay_on_commit(1, 2)
        effect.delay_on_commit("a")
        admin_client.post(reverse("console:do", args=["pause"]), {"task": add.name})
        assert f"{add.name} is paused by admin" in read(admin_client, "now")
        [row] = hold()
        assert row.task == effect.name
        assert hold() == []
        assert "Resume" in read(admin_client, "queues")
        admin_client.post(reverse("console:do", args=["resume"]), {"task": add.name})
        [row] = hold()
        assert row.task == add.name

    def test_keys_are_shown_with_their_limits_and_what_has_a_place(
        self, admin_client: Client
    ) -> None:
        effect.apply_async_on_commit(("a",), concurrency_key="customer:7")
        effect.apply_async_on_commit(("b",), concurrency_key="customer:7")
        places.admit(["default"])
        begin(Task.objects.get(eligible_at=None))
        [found] = admin_client.get(reverse("console:queues")).context["keys"]
        assert found == ("default", "customer:7", 1, None, False, 1, 0, 1)
        assert "customer:7" in read(admin_client, "queues")

    def test_a_task_shows_its_unique_key_until_it_begins_and_how_far_it_is_from_then_on(
        self, admin_client: Client
    ) -> None:
        effect.unique(key="shop:7").delay_on_commit("a")
        row = Task.objects.get()
        assert "unique shop:7, until it begins" in read(admin_client, "task", row.pk)
        number = begin(row)
        page = read(admin_client, "task", row.pk)
        assert "shop:7" not in page
        assert "<progress" not in page
        progress.tell(row.task_id, row.pk, number, 500_000, 2_000_000, "lines of <orders>")
        page = read(admin_client, "task", row.pk)
        assert '<progress max="2e+06" value="500000"' in page
        assert "500000 of 2000000 lines of &lt;orders&gt;" in page
        User.objects.update(is_superuser=False)
        user = User.objects.get()
        user.user_permissions.add(Permission.objects.get(codename="view_console"))
        assert "<progress" in read(admin_client, "task", row.pk)
        assert "orders" not in read(admin_client, "task", row.pk), "it may hold arguments"

    def test_a_worker_is_told_once_to_stop_and_that_is_written_down(
        self, admin_client: Client
    ) -> None:
        store.beat("w", "host", 1, 2, ["default"])
        assert "Stop it" in read(admin_client, "workers")
        for expected in ("stops with its next sign of life", "was told to stop before"):
            answer = admin_client.post(
                reverse("console:do", args=["stop"]), {"worker": "w"}, follow=True
            )
            assert expected in answer.content.decode()
        assert store.beat("w", "host", 1, 2, ["default"]).stop == "admin"
        assert "admin wants it to" in read(admin_client, "workers")
        assert Deed.objects.get().target == "w"

    def test_nothing_can_be_done_while_it_is_read_only(
        self, admin_client: Client, settings: Any
    ) -> None:
        settings.OPS_READ_ONLY = True
        effect.delay_on_commit("a")
        pk = Task.objects.get().pk
        assert "Discard it" not in read(admin_client, "task", pk)
        assert (
            admin_client.post(reverse("console:do", args=["discard"]), {"id": pk}).status_code
            == 403
        )

    def test_quarantined_tasks_are_grouped_and_discarded_by_a_filter(
        self, admin_client: Client
    ) -> None:
        for label in "ab":
            effect.delay_on_commit(label)
        for row in Task.objects.all():
            for _ in range(5):
                begin(row, "gone")
                quarantine.release("worker = 'gone'", {}, "the process that ran it died")
        assert "the process that ran it died" in read(admin_client, "failures")
        q = "state:quarantined"
        assert "Discard: 2" in read(admin_client, "confirm", "discard", q=q)
        admin_client.post(reverse("console:do", args=["discard"]), {"q": q, "found": "2"})
        deliver(Task.objects.get(task__endswith="work_off"))
        assert set(Entry.objects.exclude(task__endswith="work_off").values_list("state")) == {
            ("DISCARDED",)
        }

    def test_a_periodic_task_is_run_once_and_switched_off_and_on(
        self, admin_client: Client
    ) -> None:
        every = IntervalSchedule.objects.create(every=1, period="hours")
        model = PeriodicTask.objects.create(
            name="hourly", task=add.name, args="[1, 2]", interval=every
        )
        page = read(admin_client, "schedules")
        assert "from the admin" in page
        assert re.search(r">in \d+ ", page), "its next run"
        DeclaredSchedule.objects.create(name="hourly", declared={})
        assert "from code" in read(admin_client, "schedules")
        for what in ("run", "disable"):
            admin_client.post(reverse("console:do", args=[what]), {"schedule": "hourly"})
        row = Task.objects.get()
        assert (row.task, row.body[:6]) == (add.name, "[[1, 2")
        assert "the periodic task “hourly”" in read(admin_client, "task", row.pk)
        model.refresh_from_db()
        assert not model.enabled
        assert "Switch on" in read(admin_client, "schedules")
        assert Deed.objects.filter(target="hourly").count() == 2
