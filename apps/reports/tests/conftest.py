"""Fixtures of the tests of reports."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from durable.accounts.tokens import create_token


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def api(owner: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {create_token(owner)}"})


@pytest.fixture
def small_chunks(settings: Settings) -> None:
    """Let even a small file have several chunks."""
    settings.REPORTS_CHUNK_KB = 1
