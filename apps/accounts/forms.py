"""The sign-up form: Django's own. The mailbox is known by then; its owner has opened the link."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User


class SignupForm(UserCreationForm):  # type: ignore[type-arg] # generic for the type checker only
    """A name and a password."""

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.fields["username"].help_text = "Letters, digits and @ . + - _"
