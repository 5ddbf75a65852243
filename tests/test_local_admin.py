"""The first admin of `make run`, whatever a project's user model asks for."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from deploy.local.admin import ensure

pytestmark = pytest.mark.django_db


def test_it_is_made_once_and_known_by_its_password() -> None:
    assert ensure("analytical engine") == ("created", "admin")
    assert ensure("analytical engine") == ("known", "admin")
    assert ensure("another") == ("changed", "admin")


def test_somebody_elses_superuser_is_enough() -> None:
    get_user_model().objects.create_superuser("ada")
    assert ensure("analytical engine") == ("others", "-")


def test_a_user_model_may_sign_in_by_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "email")
    monkeypatch.setattr(get_user_model(), "REQUIRED_FIELDS", ["username"])
    assert ensure("analytical engine") == ("created", "admin@localhost")


def test_one_that_asks_for_more_is_left_to_createsuperuser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_user_model(), "REQUIRED_FIELDS", ["email", "first_name"])
    assert ensure("analytical engine") == ("unknown", "-")
    assert not get_user_model().objects.exists()
