"""Bearer tokens for the API: signed, not stored, and void once the password changes."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from ninja.security import HttpBearer


def _signer(session_hash: str) -> TimestampSigner:
    # The session hash depends on the password's hash and on SECRET_KEY. It is part of the key and
    # not of the token: whoever holds a token learns nothing of it.
    return TimestampSigner(salt=f"accounts.token:{session_hash}")


def create_token(user: User) -> str:
    """Return a token for *user*, good for ``settings.API_TOKEN_MAX_AGE`` seconds."""
    return _signer(user.get_session_auth_hash()).sign(str(user.pk))


def user_of(token: str) -> User | None:
    """Return the active user whom *token* was made for, or None when it isn't good (any more)."""
    pk = token.partition(":")[0]
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return None
    user = User.objects.filter(pk=int(pk), is_active=True).first()
    if user is None:
        return None
    # SECRET_KEY_FALLBACKS keep tokens good over a change of SECRET_KEY, as they keep sessions.
    for session_hash in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()):
        try:
            _signer(session_hash).unsign(token, max_age=settings.API_TOKEN_MAX_AGE)
        except BadSignature:
            continue
        return user
    return None


class Bearer(HttpBearer):
    """Authenticates ``Authorization: Bearer <token>`` before a request's body is read."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = user_of(token)
        if user is not None:
            request.user = user
        return user
