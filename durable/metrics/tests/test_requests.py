"""Requests are counted by the names of patterns, over all processes, through an outage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from durable.metrics import metrics, requests
from durable.metrics.models import Requests

pytestmark = pytest.mark.django_db


class Still(requests.Counts):
    """Counts of a process whose thread a test does the work of."""

    def _run(self) -> None:
        pass


@pytest.fixture
def counts(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Still:
    settings.METRICS_TOKEN = "a-long-token-of-the-tests"
    found = Still()
    monkeypatch.setattr(requests, "counts", found)
    return found


def shown(name: str) -> dict[tuple[str, ...], Any]:
    return dict({found: values for found, _, _, values in metrics.metrics()}.get(name, {}))


def test_a_route_is_the_name_of_a_pattern_whatever_the_path(counts: Still) -> None:
    client = Client()
    for path in ("/admin/login/", "/admin/login/?next=/", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    counts.store()
    assert shown("proj_http_requests_total") == {("admin:login", "200"): 2, ("unmatched", "404"): 2}
    buckets, total = shown("proj_http_request_seconds")["admin:login",]
    assert (buckets[-1], total > 0) == (("+Inf", 2.0), True)


def test_what_several_processes_counted_is_added_up(counts: Still) -> None:
    for seconds in (0.02, 60.0):
        other = Still()
        other.add("home", 200, seconds)
        other.store()
    [row] = Requests.objects.all()
    assert (row.count, row.seconds) == (2, 60.02)
    assert row.buckets == [0, 1, *[0] * (len(requests.BOUNDS) - 2), 1]


def test_a_counter_that_was_not_shown_any_more_begins_anew(counts: Still) -> None:
    for _ in range(2):
        counts.add("home", 500, 0.1)
    counts.store()
    Requests.objects.update(changed_at=Now() - timedelta(days=requests.DAYS + 1))
    assert shown("proj_http_requests_total") == {}
    counts.add("home", 500, 0.1)
    counts.store()
    assert shown("proj_http_requests_total") == {("home", "500"): 1}


def test_what_was_counted_while_the_database_was_away_is_stored_later(
    counts: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts.add("home", 200, 0.1)
    with monkeypatch.context() as broken:
        broken.setattr(requests, "_ADD", "SELECT * FROM nowhere WHERE %s = %s AND %s %s %s")
        with pytest.raises(Exception, match=r"syntax|nowhere"), _savepoint():
            counts.store()
    counts.add("home", 200, 0.1)
    counts.store()
    assert shown("proj_http_requests_total") == {("home", "200"): 2}


def _savepoint() -> Any:
    from django.db import transaction

    return transaction.atomic()


def test_without_a_token_nothing_is_counted(counts: Still, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    Client().get("/admin/login/")
    assert counts._found == {}


def test_the_routes_with_a_label_of_their_own_have_an_end(
    counts: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "LABELS", 2)
    for name in ("a", "b", "c", "d"):
        counts.add(name, 200, 0.1)
    counts.store()
    assert shown("proj_http_requests_total") == {
        ("a", "200"): 1,
        ("b", "200"): 1,
        ("other", "200"): 2,
    }
