"""``manage.py sync_schedules``: a part of ``entrypoint migrate``."""

from __future__ import annotations

import difflib
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError

from durable.schedules.declare import Schedule, ScheduleError, declared
from durable.schedules.sync import synchronize


class Command(BaseCommand):
    """Write the periodic tasks that the apps declare into the database."""

    help = (
        "Writes the periodic tasks that the apps declare in their schedules.py into the database. "
        "What was changed in the admin is kept. Can be run at any time, any number of times."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            schedules = declared()
        except ScheduleError as error:
            raise CommandError(str(error)) from error
        self.refuse_unknown_tasks(schedules)
        for line in synchronize(schedules):
            self.stdout.write(f"  {line}")
        self.stdout.write(f"Schedules: {len(schedules)} declared in code are in place.")

    def refuse_unknown_tasks(self, schedules: list[Schedule]) -> None:
        """Stop at a task that no worker would know; beat would send it all the same."""
        current_app.loader.import_default_modules()
        for schedule in schedules:
            if schedule.task not in current_app.tasks:
                close = difflib.get_close_matches(schedule.task, current_app.tasks, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise CommandError(
                    f"schedule {schedule.name!r}: there is no task {schedule.task!r}{hint}"
                )
