"""`make rotate-secret` on compose: a new secret is in use, the old one opens nothing any more."""

from __future__ import annotations

import pytest

from .containers import Stack, inspect

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

#: What the roles have.
TOLD = "from django.conf import settings; print(settings.{})"
#: Whether a server lets somebody in with a URL.
DATABASE = (
    "import psycopg\n"
    "try: psycopg.connect({!r}); print('in')\n"
    "except psycopg.OperationalError as error: print(error)"
)
BROKER = (
    "import redis\n"
    "try: redis.from_url({!r}).ping(); print('in')\n"
    "except redis.RedisError as error: print(error)"
)


def rotate(stack: Stack, name: str) -> str:
    """Rotate, and return what it said last; everything is healthy then."""
    said = stack.run("make", "--no-print-directory", "rotate-secret", f"NAME={name}").stdout
    for container in inspect(*stack.ids("web", "worker", "beat", "postgres", "redis")):
        assert container["State"]["Health"]["Status"] == "healthy"
    return str(said.splitlines()[-1])


def in_the_file(stack: Stack, name: str) -> str:
    return stack.compose("exec", "-T", "web", "cat", f"/run/secrets/proj/{name}").stdout


def test_what_the_old_key_signed_stays_good_and_what_the_key_before_that_signed_does_not(
    stack: Stack,
) -> None:
    sign = "from django.core.signing import dumps; print(dumps('me'))"
    read = (
        "from django.core.signing import BadSignature, loads\n"
        "try: print(loads({!r}))\n"
        "except BadSignature: print('bad')"
    )
    signed, key = stack.manage(sign), stack.manage(TOLD.format("SECRET_KEY"))
    assert rotate(stack, "secret_key") == "secret_key is another one now"
    assert stack.manage(TOLD.format("SECRET_KEY")) != key
    assert stack.manage(read.format(signed)) == "me"
    stack.compose("run", "--rm", "-T", "secrets")
    rotate(stack, "secret_key")
    assert stack.manage(read.format(signed)) == "bad"


@pytest.mark.parametrize(
    ("name", "file", "ask", "words"),
    [
        ("postgres", "database_url", DATABASE, "password authentication failed"),
        ("redis", "celery_broker_url", BROKER, "invalid username-password pair"),
    ],
)
def test_a_servers_old_password_opens_nothing_and_every_role_has_the_new_one(
    stack: Stack, name: str, file: str, ask: str, words: str
) -> None:
    stack.run("deploy/compose/scale-workers", "2")
    old = in_the_file(stack, file)
    rotate(stack, name)
    new = in_the_file(stack, file)
    assert words in stack.manage(ask.format(old))
    assert stack.manage(ask.format(new)) == "in"
    assert len(stack.ids("worker")) == 2
    stack.compose("restart", "--no-deps", name)
    stack.compose("up", "--detach", "--wait", "--no-deps", "--no-build", "--no-recreate", name)
    assert words in stack.manage(ask.format(old))
    assert stack.manage(ask.format(new)) == "in"


def test_a_secret_of_ones_own_is_left_to_its_owner(stack: Stack) -> None:
    mine = stack.folder / ".env"
    mine.write_text("METRICS_TOKEN=mine\n")
    done = stack.run("deploy/compose/rotate-secret", "metrics_token", check=False)
    mine.unlink()
    assert done.returncode
    assert "METRICS_TOKEN is set in .env: change it there, then type: make up" in done.stderr


def test_a_name_that_is_none_is_answered_with_those_that_are(stack: Stack) -> None:
    done = stack.run("deploy/compose/rotate-secret", "key", check=False)
    assert done.returncode
    assert "NAME='key': expected secret_key, postgres, redis or metrics_token" in done.stderr
