"""Bodies without a length (Transfer-Encoding: chunked), as curl sends them from a pipe."""

from __future__ import annotations

import json
import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command

from apps.reports.models import Report
from durable.web.tests.test_uploads import BOUNDARY, END, FILE, part
from tests.fixtures_worker import StartRole, free_port
from tests.http_client import Visitor

MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.django_db(transaction=True)
def test_an_upload_without_a_length_is_accepted_with_the_same_limits(start_role: StartRole) -> None:
    call_command("createcachetable", verbosity=0)
    port = free_port()
    address = f"127.0.0.1:{port}"
    web = start_role("web", WEB_BIND=address, WEB_CONCURRENCY="1", REPORTS_MAX_UPLOAD_MB="2")
    web.wait_for_line("Booting worker")
    visitor = Visitor(port)
    User.objects.create_user("ada", "ada@example.com", "analytical engine")
    visitor.fill_in("/accounts/login/", username="ada", password="analytical engine")

    pieces = [FILE[start : start + 10_000] for start in range(0, len(FILE), 10_000)]
    csrf = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', visitor.request("/").text)
    form = [part("csrfmiddlewaretoken", csrf[-1].encode()), *pieces, END]
    page = visitor.request("/", iter(form), Content_Type=MULTIPART)
    assert re.search(r"/reports/[\w-]+/", str(page.text)), page.text
    assert Report.objects.get().rows == 20_000

    # The API: a small body that is kept in memory, and a file.
    login = json.dumps({"username": "ada", "password": "analytical engine"}).encode()
    token = visitor.request("/api/token", iter([login]), Content_Type="application/json")
    assert token.status == 200, token.text
    visitor.headers["Authorization"] = f"Bearer {token.json()['token']}"
    report = visitor.request("/api/reports", iter([*pieces, END]), Content_Type=MULTIPART)
    assert report.status == 202, report.text
    assert Report.objects.count() == 2

    large = part("file", b"a,b\n" + b"1,2\n" * 600_000, "large.csv")
    refused = visitor.request("/api/reports", iter([large, END]), Content_Type=MULTIPART)
    assert (refused.status, refused.json()["code"]) == (413, "too_large")
    # So little more than allowed that the client has sent all when it is refused.
    wordy = [b" " * settings.DATA_UPLOAD_MAX_MEMORY_SIZE, login]
    refused = visitor.request("/api/token", iter(wordy), Content_Type="application/json")
    assert refused.status in {400, 413}, refused.text
    assert Report.objects.count() == 2
