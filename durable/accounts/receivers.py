"""Django's signals of log-ins and accounts: written down, and the session prepared."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.timezone import now

from . import audit, conf, second_factor
from .models import Token
from .passwords import EASY, password_changed
from .recent import STAMP


@receiver(user_logged_in)
def logged_in(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Note the time, end a session of staff earlier, and ask for the second factor."""
    request.session[STAMP] = int(time.time())
    if getattr(request, "has_easy_password", False):
        request.session[EASY] = True
        audit.record("easy password", user, "another one is due")
    if user.is_staff:
        hours = timedelta(hours=conf.get("STAFF_SESSION_HOURS"))
        request.session.set_expiry(now() + hours)
    if second_factor.has(user):
        request.session[second_factor.STATE] = second_factor.DUE
        audit.record("password accepted", user, "the second factor is due")
        return
    request.session.pop(second_factor.STATE, None)
    request.known_user = user  # type: ignore[attr-defined]
    audit.record("logged in", user)


@receiver(user_logged_out)
def logged_out(user: Any, **kwargs: Any) -> None:
    """Write it down."""
    if user is not None:
        audit.record("logged out", user)


@receiver(user_login_failed)
def log_in_failed(credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    """Write it down, unless the attempt was refused; of the name, only one that exists."""
    if getattr(request, "refused_for", None):
        return
    model = get_user_model()
    name = credentials.get("username") or credentials.get(model.USERNAME_FIELD)
    account = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    audit.record("log-in failed", account)


@receiver(password_changed)
def end_tokens(user: Any, **kwargs: Any) -> None:
    """End the tokens of the API with the old password."""
    Token.objects.filter(user=user).delete()


@receiver(post_save)
def account_created(sender: Any, instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    """Write it down; its first password is no changed one."""
    if raw or not issubclass(sender, get_user_model()):
        return
    instance.is_new = created
    if created:
        audit.record("account created", instance)
