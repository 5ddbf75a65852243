"""The API's log-in."""

from __future__ import annotations

from typing import Annotated

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest
from ninja import Router, Schema
from ninja.errors import Throttled
from pydantic import Field

from durable.web.problems import ProblemError, problems

from . import throttle
from .tokens import create_token

router = Router(tags=["token"])

#: PostgreSQL stores no NUL, and no user has one in the name.
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


class Credentials(Schema):
    """Who asks for a token."""

    username: Annotated[Text, Field(max_length=150)]
    password: Annotated[Text, Field(max_length=4096)]


class Token(Schema):
    """A token, and for how many seconds it is good."""

    token: str
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's word for it
    expires_in: int


@router.post(
    "/token", response={200: Token, **problems(400, 401, 413, 422, 429)}, summary="Get a token"
)
def get_token(request: HttpRequest, credentials: Credentials) -> Token:
    """Exchange a user name and a password for a bearer token.

    Changing the password voids every token. Attempts are limited per address and per user name.
    """
    wait = throttle.wait_before_attempt(request, credentials.username)
    if wait:
        raise Throttled(wait=int(wait))
    # Django hashes the password of an unknown user as well, so the time tells nothing.
    user = authenticate(request, username=credentials.username, password=credentials.password)
    if user is None:
        raise ProblemError(401, "Wrong user name or password")
    throttle.forget_attempts(credentials.username)
    return Token(token=create_token(user), expires_in=settings.API_TOKEN_MAX_AGE)
