"""Bearer tokens for the API: signed, listed, and void once the password changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.signing import BadSignature, TimestampSigner
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.timezone import now
from ninja.security import HttpBearer

from durable.accounts import audit
from durable.accounts.passwords import password_changed

from .models import Token


def _signer(session_hash: str) -> TimestampSigner:
    # The session hash depends on the password's hash and on SECRET_KEY. It is part of the key and
    # not of the token: the holder of a token learns nothing of it.
    return TimestampSigner(salt=f"accounts.token:{session_hash}")


def create_token(user: User, address: str = "") -> str:
    """Return a token for *user*, good for ``settings.API_TOKEN_MAX_AGE`` seconds."""
    Token.objects.filter(user=user, created_at__lt=_oldest()).delete()
    row = Token.objects.create(user=user, address=address or None)
    audit.record("token made", user, f"token {row.pk}")
    return _signer(user.get_session_auth_hash()).sign(str(row.pk))


def tokens_of(user: Any) -> QuerySet[Token]:
    """Return the tokens of *user* that are good."""
    return Token.objects.filter(user=user, created_at__gte=_oldest())


def revoke(user: Any, pk: int) -> None:
    """End a token of *user* for good."""
    if Token.objects.filter(user=user, pk=pk).delete()[0]:
        audit.record("token deleted", user, f"token {pk}")


def user_of(token: str) -> User | None:
    """Return the active user whom *token* was made for, or None when it isn't good (any more)."""
    pk = token.partition(":")[0]
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return None
    row = Token.objects.filter(pk=int(pk), user__is_active=True).select_related("user").first()
    if row is None:
        return None
    user: User = row.user
    # SECRET_KEY_FALLBACKS keep tokens good over a change of SECRET_KEY, as they keep sessions.
    for session_hash in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()):
        try:
            _signer(session_hash).unsign(token, max_age=settings.API_TOKEN_MAX_AGE)
        except BadSignature:
            continue
        return user
    return None


@receiver(password_changed)
def _end_all(user: Any, **kwargs: Any) -> None:
    Token.objects.filter(user=user).delete()


def _oldest() -> Any:
    return now() - timedelta(seconds=settings.API_TOKEN_MAX_AGE)


class Bearer(HttpBearer):
    """Authenticates ``Authorization: Bearer <token>`` before a request's body is read."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = user_of(token)
        if user is not None:
            request.user = user
        return user
