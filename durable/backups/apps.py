"""The app's place in Django."""

from django.apps import AppConfig


class BackupsConfig(AppConfig):
    """Backups of the database, as the script that makes them wrote them down."""

    name = "durable.backups"
    label = "durable_backups"
