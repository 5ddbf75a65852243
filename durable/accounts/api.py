"""The API's log-in: a router of Ninja's, and what authenticates the project's own."""

from __future__ import annotations

from typing import Annotated, Any

from django.contrib.auth import authenticate
from django.http import HttpRequest
from ninja import Router, Schema
from ninja.security import HttpBearer
from pydantic import Field

from durable.client_address import client_address
from durable.web.problems import ProblemError, problems

from . import conf, second_factor
from .tokens import create_token, user_of

router = Router(tags=["token"])

#: PostgreSQL stores no NUL, and no user has one in the name.
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


class Bearer(HttpBearer):
    """Authenticates ``Authorization: Bearer <token>`` before a request's body is read."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        user: Any = user_of(token)
        if user is not None:
            request.user = user
        return user


class Credentials(Schema):
    """The account that asks for a token."""

    username: Annotated[Text, Field(max_length=150)]
    password: Annotated[Text, Field(max_length=4096)]
    code: Annotated[str, Field(max_length=40)] = Field(
        "", description="A code of the second factor, for an account that has one"
    )


class Token(Schema):
    """A token, and for how many seconds it is good."""

    token: str
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's word for it
    expires_in: int


@router.post(
    "/token", response={200: Token, **problems(400, 401, 403, 413, 422, 429)}, summary="Get a token"
)
def get_token(request: HttpRequest, credentials: Credentials) -> Token:
    """Exchange a user name and a password for a bearer token.

    Changing the password voids every token. Attempts are limited per address and per user name.
    """
    # Django hashes the password of an unknown user as well, so the time tells nothing. An attempt
    # too many is refused there, and durable.accounts answers it with 429.
    user = authenticate(request, username=credentials.username, password=credentials.password)
    if user is None:
        raise ProblemError(401, "Wrong user name or password")
    if second_factor.has(user) and not second_factor.verify(request, user, credentials.code):
        raise ProblemError(401, "Wrong code", "`code` is one of the account's second factor.")
    if getattr(request, "has_easy_password", False):
        raise ProblemError(403, "Password too easy to guess", "Log in, and choose another one.")
    token = create_token(user, client_address(request.META))
    return Token(token=token, expires_in=conf.get("TOKEN_MAX_AGE"))
