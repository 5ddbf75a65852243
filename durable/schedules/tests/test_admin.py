"""The admin of periodic tasks, by a logged-in browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.queue.models import Task
from durable.schedules.models import DeclaredSchedule
from durable.schedules.sync import synchronize

from .test_sync import HOURLY, hourly, row


@pytest.mark.django_db
class TestTheAdmin:
    """django-celery-beat's pages, with what the code declares beside."""

    PAGE = "/admin/django_celery_beat/periodictask/"

    @pytest.fixture(autouse=True)
    def _declared(self) -> None:
        synchronize([HOURLY])

    def form(self, client: Client) -> dict[str, Any]:
        """Return what a browser would send back if a person only pressed Save."""
        page = client.get(f"{self.PAGE}{row().pk}/change/")
        assert page.status_code == 200
        initial = page.context["adminform"].form.initial
        return {name: value for name, value in initial.items() if value is not None}

    def test_saving_the_form_unchanged_is_no_change(self, admin_client: Client) -> None:
        form = self.form(admin_client)
        assert admin_client.post(f"{self.PAGE}{row().pk}/change/", form).status_code == 302
        assert synchronize([HOURLY]) == []
        assert synchronize([hourly(every=timedelta(hours=2))]) == ["hourly: updated (timing)"]

    def test_an_interval_changed_in_the_form_is_kept(self, admin_client: Client) -> None:
        added = admin_client.post(
            "/admin/django_celery_beat/intervalschedule/add/",
            {
                "every": "5",
                "period": "minutes",
                "periodictask_set-TOTAL_FORMS": "0",
                "periodictask_set-INITIAL_FORMS": "0",
            },
        )
        assert added.status_code == 302
        five = IntervalSchedule.objects.get(every=5)
        form = self.form(admin_client) | {"interval": five.pk}
        assert admin_client.post(f"{self.PAGE}{row().pk}/change/", form).status_code == 302
        assert synchronize([HOURLY]) == ["hourly: changed by hand, kept (timing)"]
        assert row().interval == five

    def test_the_list_says_what_comes_from_code_and_what_was_changed(
        self, admin_client: Client
    ) -> None:
        PeriodicTask.objects.create(name="mine", task="x", interval=row().interval)
        page = admin_client.get(self.PAGE).content.decode()
        assert '<td class="field-origin">yes</td>' in page
        assert '<td class="field-origin">no</td>' in page
        PeriodicTask.objects.filter(name="hourly").update(queue="mail", enabled=False)
        page = admin_client.get(self.PAGE).content.decode()
        assert '<td class="field-origin">yes, changed here: queue, enabled</td>' in page

    def test_the_form_has_no_inline_script(self, admin_client: Client) -> None:
        for page in (f"{self.PAGE}add/", f"{self.PAGE}{row().pk}/change/"):
            html = admin_client.get(page).content.decode()
            assert "readable-crontabs" not in html

    def test_the_declarations_can_be_seen_and_deleted_but_not_changed(
        self, admin_client: Client
    ) -> None:
        page = "/admin/durable_schedules/declaredschedule/"
        row().delete()
        assert "deleted by hand" in admin_client.get(page).content.decode()
        assert admin_client.get(f"{page}add/").status_code == 403
        entry = DeclaredSchedule.objects.get()
        assert admin_client.get(f"{page}{entry.pk}/change/").status_code == 200
        deleted = admin_client.post(f"{page}{entry.pk}/delete/", {"post": "yes"})
        assert deleted.status_code == 302
        assert synchronize([HOURLY]) == ["hourly: created"]

    def test_a_task_can_be_run_at_once_from_the_list(self, admin_client: Client) -> None:
        done = admin_client.post(
            self.PAGE, {"action": "run_tasks", "_selected_action": [row().pk]}, follow=True
        )
        assert "1 task was successfully run" in done.content.decode()

    @pytest.mark.usefixtures("no_broker")
    def test_it_is_run_also_while_the_broker_is_away(self, admin_client: Client) -> None:
        admin_client.post(self.PAGE, {"action": "run_tasks", "_selected_action": [row().pk]})
        assert Task.objects.get().task == row().task
