"""The app's place in Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Sign-up, log-in, the welcome mail (example)."""

    name = "apps.accounts"
