"""Removes the second factor of somebody who has lost it and the recovery codes: break-glass."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from durable.accounts import second_factor


class Command(BaseCommand):
    """``manage.py reset_second_factor NAME``; written down, and told to the person by mail."""

    help = "Remove the second factor of an account, whose password then suffices."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the account's user name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        model = get_user_model()
        user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
        if user is None:
            raise CommandError(f"No account has the name {name!r}: look in /admin/ for it.")
        if not second_factor.remove(user):
            raise CommandError(f"The account {name!r} has no second factor: nothing to remove.")
        self.stdout.write(f"{name} logs in by the password alone now.")
