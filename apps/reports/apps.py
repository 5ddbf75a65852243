"""The app's place in Django."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Profiles of uploaded CSV files (example)."""

    name = "apps.reports"
