"""The app's place in Django."""

from django.apps import AppConfig


class HousekeepingConfig(AppConfig):
    """Deletes what has expired, in small batches."""

    name = "durable.housekeeping"
    label = "durable_housekeeping"
