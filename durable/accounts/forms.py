"""The forms: Django's own, with what this app adds."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordChangeForm,
    SetPasswordForm,
    UserCreationForm,
)

from . import audit


class LogInForm(AuthenticationForm):
    """Django's own, without colons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class LimitedPasswordChange(PasswordChangeForm):
    """Django's own, whose old password is an attempt to log in: limited and written down."""

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        if not is_password(self.user, old):
            message = self.error_messages["password_incorrect"]
            raise forms.ValidationError(message, code="password_incorrect")
        return old


class NewPassword(SetPasswordForm):  # type: ignore[type-arg]
    """Django's own, without colons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class Mailbox(forms.Form):
    """An address that gets a link."""

    email = forms.EmailField(
        max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


class SignUp(UserCreationForm):  # type: ignore[type-arg]
    """A name and a password; the mailbox is known by then, for its owner has opened the link."""

    class Meta:
        model = get_user_model()
        fields = (model.USERNAME_FIELD,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        name = self.fields[self._meta.model.USERNAME_FIELD]
        name.widget.attrs["autocomplete"] = "username"
        if name.help_text:
            name.help_text = "Letters, digits and @ . + - _"


class Code(forms.Form):
    """A code of the second factor."""

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )


class Password(forms.Form):
    """The password once more."""

    password = forms.CharField(
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


def is_password(user: Any, password: str) -> bool:
    """Return whether *password* is that of *user*; an attempt to log in as any other."""
    name = {get_user_model().USERNAME_FIELD: user.get_username()}
    return authenticate(audit.current.get(), password=password, **name) is not None
