"""The project's settings, with an app that asks the database while Django starts."""

from __future__ import annotations

from django.apps import AppConfig

from proj.settings import *  # noqa: F403
from proj.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.asks_at_start.AsksAtStart"]


class AsksAtStart(AppConfig):
    """An app whose settings are in the database, say."""

    name = "tests.asks_at_start"

    def ready(self) -> None:
        """Ask, and close nothing."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
