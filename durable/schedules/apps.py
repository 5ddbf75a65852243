"""The app's place in Django."""

from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    """Periodic tasks: declared in code, changed in the admin."""

    name = "durable.schedules"
    label = "durable_schedules"
