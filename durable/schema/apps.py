"""The app's place in Django."""

from django.apps import AppConfig


class SchemaConfig(AppConfig):
    """Commands of the roles `migrate` and `wait-migrated`; it has no models."""

    name = "durable.schema"
    label = "durable_schema"
