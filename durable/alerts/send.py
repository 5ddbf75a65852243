"""How it is said: by a webhook, by mail, and by the ping that stays away.

The webhook's JSON is Alertmanager's (version 4), and has the `text` that Slack and Mattermost show.
No URL gets into a log: it is a secret.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.message import Message as Headers
from http.client import HTTPException
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError

from django.conf import settings
from django.core.mail import send_mail

from durable.database.session import reason

from . import conf

logger = logging.getLogger(__name__)

FIRING, RESOLVED = "firing", "resolved"
#: Seconds that a server has for its answer.
TIMEOUT = 10.0
#: Alerts in one message; the rest follows a minute later.
MOST = 50


class Message(NamedTuple):
    """What is said of one alert."""

    name: str
    status: str
    severity: str
    labels: Mapping[str, str]
    says: str
    runbook: str
    since: datetime
    until: datetime | None = None

    def line(self) -> str:
        """Return it as a line of text."""
        over = self.status == RESOLVED
        return f"{'Over' if over else self.severity.capitalize()}: {self.name}: {self.says}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected becomes a GET without its body, and would count as sent."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: Headers, newurl: str,
    ) -> None:  # fmt: skip
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def channels() -> list[str]:
    """Return the channels that the settings name."""
    return [name for name, (is_set, _) in _CHANNELS.items() if is_set()]


def send(channel: str, messages: Sequence[Message]) -> bool:
    """Say *messages* by *channel*; return whether they were taken, the log says why not."""
    try:
        _CHANNELS[channel][1](messages)
    except Exception as error:
        logger.warning("alerts: %s does not take %d of them, they are said again in a minute: %s",
                       channel, len(messages), why(error))  # fmt: skip
        return False
    logger.info("alerts: %s was told: %s", channel, "; ".join(each.line() for each in messages))
    return True


def ping() -> bool:
    """Ask for HEARTBEAT_PING_URL, if there is one; return whether it answered."""
    if url := conf.ping_url():
        try:
            _open(urllib.request.Request(url))  # noqa: S310 - the settings take http(s) alone
        except Exception as error:
            logger.warning("alerts: HEARTBEAT_PING_URL does not answer: %s", why(error))
            return False
    return True


def why(error: Exception) -> str:
    """Return what went wrong, without the URL that some errors hold."""
    if isinstance(error, HTTPError):
        return f"it answers {error.code}"
    if isinstance(error, URLError):
        inner = error.reason
        return reason(inner) if isinstance(inner, Exception) else type(error).__name__
    if isinstance(error, (HTTPException, ValueError)):
        return type(error).__name__
    return reason(error)


def body(messages: Sequence[Message]) -> dict[str, object]:
    """Return Alertmanager's JSON, with a `text`."""
    fires = any(each.status == FIRING for each in messages)
    title = _title(messages)
    return {
        "version": "4",
        "receiver": _site(),
        "status": FIRING if fires else RESOLVED,
        "text": "\n".join([title, *(f"{each.line()} ({each.runbook})" for each in messages)]),
        "groupKey": _site(),
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": _console(),
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": each.status,
                "labels": {"alertname": each.name, "severity": each.severity, **each.labels},
                "annotations": {"summary": each.says, "runbook": each.runbook},
                "startsAt": each.since.isoformat(),
                "endsAt": each.until.isoformat() if each.until else "0001-01-01T00:00:00Z",
                "generatorURL": _console(),
            }
            for each in messages
        ],
    }


def _title(messages: Sequence[Message]) -> str:
    fires = [each.name for each in messages if each.status == FIRING]
    names = ", ".join(dict.fromkeys(fires or [each.name for each in messages]))
    return f"[{_site()}] {names if fires else f'over: {names}'}"


def _site() -> str:
    return str(getattr(settings, "SITE_HOST", "") or settings.ROOT_URLCONF.partition(".")[0])


def _console() -> str:
    origins = [each for each in settings.CSRF_TRUSTED_ORIGINS if "*" not in each]
    return f"{origins[0]}{getattr(settings, 'SITE_PATH', '')}/ops/" if origins else ""


def _open(request: urllib.request.Request) -> None:
    with _opener.open(request, timeout=TIMEOUT):
        pass


def _post(messages: Sequence[Message]) -> None:
    data = json.dumps(body(messages)).encode()
    headers = {"Content-Type": "application/json"}
    _open(urllib.request.Request(str(conf.get("URL")), data, headers))  # noqa: S310 - as above


def _mail(messages: Sequence[Message]) -> None:
    lines = [
        f"{each.line()}\n  since {each.since:%F %H:%M} UTC; {each.runbook}" for each in messages
    ]
    if console := _console():
        lines.append(console)
    send_mail(_title(messages), "\n\n".join(lines) + "\n", None, conf.get("EMAIL"))


_CHANNELS: dict[str, tuple[Callable[[], bool], Callable[[Sequence[Message]], None]]] = {
    "ALERT_URL": (lambda: bool(conf.get("URL")), _post),
    "ALERT_EMAIL": (lambda: bool(conf.get("EMAIL")), _mail),
}
