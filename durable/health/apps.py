"""The app's place in Django."""

from django.apps import AppConfig


class HealthConfig(AppConfig):
    """Probes: is the process alive, can it serve, does it consume."""

    name = "durable.health"
    label = "durable_health"
