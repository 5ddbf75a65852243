"""Passwords that are too easy, and what follows from a changed one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.dispatch import Signal
from django.utils.timezone import now

from . import audit
from .tasks import tell

#: The key in the session of who logged in by a password that is too easy to guess.
EASY = "easy_password"

#: Sent once an account's password is another one; ``user=`` is whose.
password_changed = Signal()


class UncommonValidator(CommonPasswordValidator):
    """Refuses Django's 20,000 common passwords, and those that only look longer.

    Few of the list have twelve characters; people who must type twelve make them of one that has
    eight: Password2026!, dragondragon.
    """

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > MaximumLengthValidator.LENGTH:
            return  # refused as such; what follows takes the square of it, and holds the process
        text = password.lower().strip()
        core = re.sub(r"^[\d\W_]+|[\d\W_]+$", "", text)
        unit = re.sub(r"^(.+?)\1+$", r"\1", text)
        letters = re.sub(r"[^a-z]", "", text.translate(str.maketrans("013457@$!", "oieastasi")))
        plain = letters if 2 * len(letters) > len(text) else text
        if len(unit) < 4 or {text, core, unit, plain} & self.passwords:
            raise ValidationError("This password is too easy to guess.", "password_too_common")


@lru_cache(maxsize=1)
def _uncommon() -> UncommonValidator:
    return UncommonValidator()  # it reads its list each time


def is_easy(password: str) -> bool:
    """Return whether *password* would be refused as too easy to guess."""
    try:
        _uncommon().validate(password)
    except ValidationError:
        return True
    return False


class MaximumLengthValidator:
    """Refuses what only a program would send: each attempt is hashed (ASVS 2.1.2)."""

    LENGTH = 128

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.LENGTH:
            raise ValidationError(
                f"This password has more than {self.LENGTH} characters.", "password_too_long"
            )

    def get_help_text(self) -> str:
        return f"Your password can have up to {self.LENGTH} characters."


class ChangeObserver:
    """Hears of each changed password: Django tells its validators so, and nothing else.

    A password that is hashed anew at a log-in is no change, and neither is an account's first one.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Refuse none."""

    def get_help_text(self) -> str:
        return ""

    def password_changed(self, password: str, user: Any = None) -> None:
        """Write it down, and tell the person by mail."""
        if getattr(user, "is_new", False):
            return
        audit.record("password changed", user)
        tell.delay_on_commit(user.pk, "password_changed", f"{now():%Y-%m-%d %H:%M} UTC")
        password_changed.send(type(user), user=user)
