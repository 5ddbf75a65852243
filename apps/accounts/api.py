"""The API's log-in."""

from __future__ import annotations

from typing import Annotated

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from durable.accounts import second_factor
from durable.client_address import client_address
from durable.web.problems import ProblemError, problems

from .tokens import create_token

router = Router(tags=["token"])

#: PostgreSQL stores no NUL, and no user has one in the name.
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


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
    "/token", response={200: Token, **problems(400, 401, 413, 422, 429)}, summary="Get a token"
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
    token = create_token(user, client_address(request.META))
    return Token(token=token, expires_in=settings.API_TOKEN_MAX_AGE)
