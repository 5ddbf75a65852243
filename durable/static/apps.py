"""The app's place in Django."""

from django.apps import AppConfig


class StaticConfig(AppConfig):
    """Static files of earlier versions, in the database."""

    name = "durable.static"
    label = "durable_static"
