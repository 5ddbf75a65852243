"""The app's place in Django."""

from importlib import import_module

from django.apps import AppConfig, apps
from django.conf import settings

from durable.health.heartbeat import MAX_AGE

#: What the checks compare and Django has no default for: a project may leave out what it lacks.
DEFAULTS = {
    "BEAT_REPLICAS": 1,
    "HEARTBEAT_MAX_AGE": MAX_AGE,
    "HTTPS_ONLY": False,
    "ROLE": "",
    "WEB_REPLICAS": 1,
    "WEB_THREADS": 1,
    "WORKER_GRACE_PERIOD": 70,
    "WORKER_REPLICAS": 1,
}

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
    """Invariants of the settings, by which no task is lost: ``manage.py check --deploy``."""

    name = "durable.checks"
    label = "durable_checks"

    def ready(self) -> None:
        for name, value in DEFAULTS.items():
            if not hasattr(settings, name):
                setattr(settings, name, value)
        for name in FILES:
            if name != "beat" or apps.is_installed("durable.schedules"):
                import_module(f"{self.name}.{name}")
