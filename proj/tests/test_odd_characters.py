"""Characters that PostgreSQL's text can't hold, wherever a request can carry them."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import DataError, transaction
from django.test import Client, RequestFactory

from proj.api import api

User = get_user_model()

NUL = "%00"  # in a URL


@pytest.fixture
def visitor(admin_client: Client) -> Client:
    admin_client.raise_request_exception = False
    return admin_client


@pytest.mark.django_db
def test_a_nul_in_a_filter_of_the_admin_is_the_requests_fault(visitor: Client) -> None:
    answers = {}
    for model in admin.site._registry:
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        names = ["q", *(field.name for field in model._meta.concrete_fields)]
        for path in [f"{place}{NUL}/change/", *(f"{place}?{name}=a{NUL}" for name in names)]:
            with transaction.atomic():  # PostgreSQL itself refuses NUL in JSON
                answers[path] = visitor.get(path).status_code
                transaction.set_rollback(True)
    assert set(answers.values()) == {200, 302, 400}
    users = User._meta.label_lower.replace(".", "/")
    assert answers[f"/admin/{users}/?username=a%00"] == 400


@pytest.mark.django_db
def test_nor_is_a_cookie_that_holds_one_a_failure_of_the_server() -> None:
    client = Client(raise_request_exception=False)
    cookie = 'sessionid="\\000aaaaaaaaaa"'  # a quoted octal number
    assert client.get("/admin/", headers={"Cookie": cookie}).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_the_api_answers_a_text_that_can_not_be_stored_alike(rf: RequestFactory, text: str) -> None:
    with pytest.raises((DataError, UnicodeEncodeError)) as error:
        User.objects.filter(username=text).exists()
    assert api.on_exception(rf.get("/api/users"), error.value).status_code == 400
