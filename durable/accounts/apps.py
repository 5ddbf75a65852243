"""The app's place in Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Log-in and its limits, the audit log, passwords, the second factor."""

    name = "durable.accounts"
    label = "durable_accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from . import receivers  # noqa: F401 - they register themselves
