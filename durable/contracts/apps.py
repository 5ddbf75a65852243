"""The app's place in Django."""

from django.apps import AppConfig


class ContractsConfig(AppConfig):
    """The command ``check_tasks``; it has no models."""

    name = "durable.contracts"
    label = "durable_contracts"
