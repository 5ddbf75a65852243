"""The app's place in Django."""

from django.apps import AppConfig


class MetricsConfig(AppConfig):
    """Numbers for a monitoring system."""

    name = "durable.metrics"
    label = "durable_metrics"
