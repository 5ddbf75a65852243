"""The app's place in Django."""

from importlib import import_module

from django.apps import AppConfig

#: The files of invariants; each registers its own.
FILES = (
    "beat",
    "broker",
    "capacity",
    "countdowns",
    "database",
    "health",
    "limits",
    "loss",
    "queues",
    "results",
    "site",
    "stop",
    "time",
    "upstream",
)


class ChecksConfig(AppConfig):
    """What settings must hold so that no task is lost or doubled: ``manage.py check --deploy``."""

    name = "durable.checks"
    label = "durable_checks"

    def ready(self) -> None:
        for name in FILES:
            import_module(f"{self.name}.{name}")
