"""The app's place in Django."""

from django.apps import AppConfig
from django.conf import settings


class LogsConfig(AppConfig):
    """Log lines with the ids of their request and task; as JSON, if LOG_FORMAT says so."""

    name = "durable.logs"
    label = "durable_logs"

    def ready(self) -> None:
        from . import (
            receivers,  # noqa: F401 - they register themselves
            secrets,
        )

        secrets.install()
        if getattr(settings, "SQL_COMMENTS", False):
            from . import comments

            comments.install()
        if getattr(settings, "LOG_FORMAT", "text") == "json":
            from .install import install

            install(getattr(settings, "ROLE", ""))
