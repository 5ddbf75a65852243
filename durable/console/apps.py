"""The app's place in Django."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console of those who run the project."""

    name = "durable.console"
    label = "durable_console"
    verbose_name = "console"
    default_auto_field = "django.db.models.BigAutoField"
