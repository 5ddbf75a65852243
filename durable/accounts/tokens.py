"""Bearer tokens for the API: signed, listed, and void once the password changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.signing import BadSignature, TimestampSigner
from django.db.models import QuerySet
from django.utils.timezone import now

from . import audit, conf
from .models import Token


def _signer(session_hash: str) -> TimestampSigner:
    # The session hash depends on the password's hash and on SECRET_KEY. It is part of the key and
    # not of the token: the holder of a token learns nothing of it.
    return TimestampSigner(salt=f"account.token:{session_hash}")


def create_token(user: Any, address: str = "") -> str:
    """Return a token for *user*, good for ``ACCOUNT_TOKEN_MAX_AGE`` seconds."""
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


def user_of(token: str) -> AbstractBaseUser | None:
    """Return the active user whom *token* was made for, or None when it isn't good (any more)."""
    pk = token.partition(":")[0]
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return None
    row = Token.objects.filter(pk=int(pk), user__is_active=True).select_related("user").first()
    if row is None:
        return None
    user: AbstractBaseUser = row.user
    # SECRET_KEY_FALLBACKS keep tokens good over a change of SECRET_KEY, as they keep sessions.
    for session_hash in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()):
        try:
            _signer(session_hash).unsign(token, max_age=conf.get("TOKEN_MAX_AGE"))
        except BadSignature:
            continue
        return user
    return None


def _oldest() -> Any:
    return now() - timedelta(seconds=conf.get("TOKEN_MAX_AGE"))
