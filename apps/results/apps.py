"""The app's place in Django."""

from django.apps import AppConfig


class ResultsConfig(AppConfig):
    """A result backend on django-celery-results' tables."""

    name = "apps.results"

    def ready(self) -> None:
        from . import aside  # noqa: F401 - it registers itself
