"""The app's place in Django."""

from typing import Any

from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    """Periodic tasks: declared in code, changed in the admin."""

    name = "durable.schedules"
    label = "durable_schedules"

    def ready(self) -> None:
        from celery.signals import beat_init

        beat_init.connect(_start_chores)


def _start_chores(sender: Any, **kwargs: Any) -> None:
    from .chores import Chores

    Chores(sender).start()
