"""How old the last proven backup is, and what the admin shows of it."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from durable.backups.metrics import metrics, proven_age, stored_age
from durable.backups.models import Backup

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def make(file: str, hours: float, proven: bool) -> Backup:
    dumped = NOW - timedelta(hours=hours)
    return Backup.objects.create(
        file=file, dumped_at=dumped, proven_at=NOW if proven else None, bytes=1, tables=2, rows=3
    )


def test_the_age_is_that_of_the_data_and_not_of_the_proof() -> None:
    make("older", 50, proven=True)
    make("newer", 26, proven=True)
    make("newest", 2, proven=False)
    assert proven_age(NOW) == 26 * 3600


def test_an_alarm_rings_where_backups_are_made_and_none_is_proven() -> None:
    Backup.objects.create(file="failed", error="disk full")
    assert proven_age() == math.inf
    [(name, _, _, values)] = metrics()
    assert name == "proj_backup_proven_age_seconds"
    assert values == {(): math.inf}


def test_the_newest_dump_off_the_machine_has_an_age_of_its_own() -> None:
    make("newer", 26, proven=True)
    assert stored_age(NOW) is None
    Backup.objects.update(stored_at=NOW)
    make("newest", 2, proven=True)
    assert stored_age(NOW) == 26 * 3600


def test_there_is_no_metric_where_no_backups_are_made() -> None:
    assert list(metrics()) == []


def test_the_admin_shows_them_and_changes_nothing(admin_client: Client) -> None:
    backup = make("proj-20261124T021700Z.dump", 2, proven=True)
    assert backup.file in admin_client.get("/admin/durable_backups/backup/").content.decode()
    page = admin_client.get(f"/admin/durable_backups/backup/{backup.pk}/change/").content.decode()
    assert 'name="_save"' not in page
    assert "deletelink" not in page
    assert admin_client.get("/admin/durable_backups/backup/add/").status_code == 403
