"""Django's own log-in by name and password, limited wherever it is used."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from durable.client_address import client_address

from . import audit, limits
from .passwords import is_easy


class LimitedBackend(ModelBackend):
    """Refuses an attempt that is one too many; the middleware then answers with 429.

    Every form, the admin's and the API's go through here. A call without a request has no limit.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        model = get_user_model()
        name = kwargs.get(model.USERNAME_FIELD) if username is None else username
        if request is None or name is None or password is None:
            return super().authenticate(request, username, password, **kwargs)
        account = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
        attempt = limits.LogIn(request, name, account)
        if wait := attempt.wait():
            refuse(request, wait, "log-in refused", account)
            raise PermissionDenied
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            attempt.forget()
            # From before the list, or from another system (ASVS 2.1.7).
            request.has_easy_password = is_easy(password)  # type: ignore[attr-defined]
        return user

    async def aauthenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> Any:
        """The same; Django's own asks the database without the limit."""
        return await sync_to_async(self.authenticate)(request, *args, **kwargs)


def refuse(request: HttpRequest, wait: float, event: str, user: Any) -> bool:
    """Have *request* answered with 429; written down once, not for each try that follows.

    Return whether it was.
    """
    request.refused_for = wait  # type: ignore[attr-defined]
    address = client_address(request.META)
    again = limits.Limit(event, 1, int(wait) + 1)
    if limits.take(again, f"{audit.name_of(user)} {address}"):
        return False
    audit.record(event, user, f"for {int(wait) + 1} s")
    return True
