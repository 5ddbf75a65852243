"""The app's place in Django."""

from importlib import import_module

from django.apps import AppConfig

from durable.environment.reader import ConfigurationError

from . import conf


class TelemetryConfig(AppConfig):
    """Traces and errors for services outside, where their settings name one."""

    name = "durable.telemetry"
    label = "durable_telemetry"

    def ready(self) -> None:
        if conf.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            _install("spans", "OTEL_EXPORTER_OTLP_ENDPOINT", "otel")
        if conf.get("SENTRY_DSN"):
            _install("errors", "SENTRY_DSN", "sentry")


def _install(module: str, setting: str, extra: str) -> None:
    try:
        import_module(f"{__package__}.{module}").install()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{setting} is set, and {error.name} is not installed: "
            f"pip install 'django-celery-durable[{extra}]', or take {setting} out"
        ) from error
