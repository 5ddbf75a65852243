"""What the tests of accounts share."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from durable.accounts import second_factor

User = get_user_model()

#: Their pages in the admin.
USERS = f"/admin/{User._meta.app_label}/{User._meta.model_name}/"
PASSWORD = "correct-horse-9"


@pytest.fixture(autouse=True)
def _fresh_counts(db: None) -> None:
    cache.clear()


@pytest.fixture
def ann() -> Any:
    return User.objects.create_user("ann", "ann@example.com", PASSWORD)


@pytest.fixture
def root() -> Any:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD)


def log_in(client: Client, name: str, password: str = PASSWORD, path: str = "/admin/login/") -> Any:
    return client.post(f"{path}?next=/admin/", {"username": name, "password": password})


def code_of(device: TOTPDevice) -> str:
    """Return what the app shows now, and again at once: the device forgets what was used."""
    TOTPDevice.objects.filter(pk=device.pk).update(last_t=-1)
    return f"{totp(device.bin_key, t0=0, step=30, drift=0):06d}"


def with_second_factor(user: Any) -> tuple[TOTPDevice, list[str]]:
    """Return the app and the recovery codes that *user* has now."""
    device = second_factor.proposed(user)
    codes = second_factor.add(user, code_of(device))
    assert len(codes) == second_factor.RECOVERY_CODES
    device.refresh_from_db()
    return device, codes


def log_in_long_ago(client: Client, user: Any) -> None:
    """Give *client* a session that is good, and whose password was given an hour ago."""
    client.force_login(user)
    session = client.session
    session["logged-in-at"] = int(time.time()) - 3600
    session.save()
