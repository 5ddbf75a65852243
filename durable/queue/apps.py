"""The app's place in Django."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """A transactional outbox and a ledger for Celery tasks."""

    name = "durable.queue"
    label = "durable"

    def ready(self) -> None:
        from . import checks, receivers  # noqa: F401 - they register themselves
