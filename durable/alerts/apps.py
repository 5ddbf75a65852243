"""The app's place in Django."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """The conditions, and those that hold now."""

    name = "durable.alerts"
    label = "durable_alerts"
