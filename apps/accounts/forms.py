"""The forms: Django's own, with what this project adds."""

from __future__ import annotations

import math
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.contrib.auth.models import User

from . import throttle


class SignupForm(UserCreationForm):  # type: ignore[type-arg] # generic for the type checker only
    """Django's sign-up form with an address, since a mail is sent to it."""

    email = forms.EmailField(
        max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.fields["username"].help_text = "Letters, digits and @ . + - _"


class LimitedLogin(AuthenticationForm):
    """Django's log-in form, which answers only so many attempts (see ``throttle``)."""

    THROTTLED = "throttled"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if self.request is None or username is None or not self.cleaned_data.get("password"):
            return super().clean()
        wait = throttle.wait_before_attempt(self.request, username)
        if wait:
            minutes = math.ceil(wait / 60)
            raise forms.ValidationError(
                f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
                code=self.THROTTLED,
            )
        cleaned = super().clean()  # raises when the password is wrong
        throttle.forget_attempts(username)
        return cleaned


class LimitedAdminLogin(LimitedLogin, AdminAuthenticationForm):
    """The same for the admin's own log-in page."""
