"""A page of one version finds its static files at a web of another."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import storage
from django.db import connections
from django.test import Client
from django.utils import timezone

from durable.static.models import File
from durable.static.publish import KEPT, publish
from durable.web.storage import ModuleStaticFilesStorage

pytestmark = pytest.mark.django_db

OLD, NEW = "page.0123456789ab.css", "page.ba9876543210.css"


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """Return what publishes a version whose one file has a name, as its migration does."""

    def version(name: str) -> int:
        (tmp_path / name).write_text(f"/* {name} */")
        found = ModuleStaticFilesStorage(location=tmp_path, base_url="/static/")
        found.hashed_files = {"page.css": name}
        monkeypatch.setattr("durable.static.publish.staticfiles_storage", found)
        return publish()

    assert storage.staticfiles_storage
    return version


def test_a_page_finds_the_files_of_the_version_before_and_of_the_next(
    deploy: Any, client: Client
) -> None:
    assert [deploy(OLD), deploy(NEW), deploy(NEW)] == [1, 1, 0]
    for name in (OLD, NEW):
        answer = client.get(f"/static/{name}")
        assert (answer.status_code, answer.content.decode()) == (200, f"/* {name} */")
        assert answer["Content-Type"] == "text/css; charset=utf-8"
        assert answer["Cache-Control"] == "max-age=315360000, public, immutable"
        assert client.head(f"/static/{name}").content == b""


def test_a_file_stays_for_30_days_after_the_last_version_that_had_it(deploy: Any) -> None:
    deploy(OLD)
    File.objects.update(replaced_at=None)
    deploy(NEW)  # old is replaced now, however long it ran
    File.objects.filter(name=OLD).update(replaced_at=timezone.now() - KEPT + timedelta(hours=1))
    deploy(NEW)
    assert File.objects.count() == 2
    deploy(OLD)  # a rollback
    deploy(NEW)
    File.objects.filter(name=OLD).update(replaced_at=timezone.now() - KEPT)
    deploy(NEW)
    assert list(File.objects.values_list("name", flat=True)) == [NEW]


@pytest.mark.parametrize("name", ["page.css", "page.0123.css", "../manage.py", f"x/{OLD}/y.css"])
def test_a_name_without_a_hash_asks_no_database(
    client: Client, name: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0, connection=connections["default"]):
        assert client.get(f"/static/{name}").status_code == 404


def test_a_file_that_no_version_had_is_not_found(client: Client) -> None:
    assert client.get(f"/static/{OLD}").status_code == 404
