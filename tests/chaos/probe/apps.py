"""The app's place in Django."""

from django.apps import AppConfig


class ChaosProbeConfig(AppConfig):
    """What the fault suite counts with."""

    name = "chaos_probe"
