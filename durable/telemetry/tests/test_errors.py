"""What Sentry gets of a page's error: nothing that lets its reader in."""

from __future__ import annotations

from durable.telemetry.errors import _redacted


def test_a_request_has_its_method_and_headers_without_secrets() -> None:
    request = {
        "url": "https://example.com/account/reset/4711/a-link-of-a-mail/",
        "query_string": "token=secret", "data": {"password": "secret"},
        "cookies": {"sessionid": "secret"}, "method": "POST",
        "headers": {"Authorization": "Bearer secret", "Cookie": "a=secret", "Accept": "*/*"},
    }  # fmt: skip
    event = {"request": request, "extra": {"order": {"card_number": "secret", "pk": 7}}}
    sent = _redacted(event, {})
    mark = "[redacted]"
    assert sent["request"] == {
        "method": "POST",
        "headers": {"Authorization": mark, "Cookie": mark, "Accept": "*/*"},
    }
    assert sent["extra"] == {"order": {"card_number": mark, "pk": 7}}
