"""The app's place in Django."""

from django.apps import AppConfig


class ResultsConfig(AppConfig):
    """A result backend on django-celery-results' tables."""

    name = "durable.results"
    label = "durable_results"

    def ready(self) -> None:
        from durable.database import background, connections  # noqa: F401 - it registers itself

        connections.install()
