"""The app's place in Django."""

from django.apps import AppConfig


class CanaryConfig(AppConfig):
    """A task that does nothing, through each queue."""

    name = "durable.canary"
    label = "durable_canary"
