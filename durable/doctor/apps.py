"""The app's place in Django."""

from django.apps import AppConfig


class DoctorConfig(AppConfig):
    """The command ``doctor``; it has no models."""

    name = "durable.doctor"
    label = "durable_doctor"
