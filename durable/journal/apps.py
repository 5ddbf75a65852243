"""The app's place in Django."""

from django.apps import AppConfig


class JournalConfig(AppConfig):
    """Tasks that have ended, for ``HISTORY_DAYS``."""

    name = "durable.journal"
    label = "durable_journal"
    verbose_name = "journal"
