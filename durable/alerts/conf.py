"""The settings of this app: ``ALERT_<NAME>`` and ``HEARTBEAT_PING_URL``."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

ALERT = Declared(
    "ALERT",
    # Where a JSON is sent to: Alertmanager's webhook, with Slack's `text` (send.py).
    URL=Setting("", kind="web"),
    # Addresses that get a mail.
    EMAIL=Setting((), kind="addresses"),
    # Hours until an alert that goes on is said again.
    REPEAT_HOURS=Setting(24, least=1),
)
PING = Declared(
    "HEARTBEAT",
    # Asked for each minute while all is well: who is not asked any more raises the alarm.
    PING_URL=Setting("", kind="web"),
)

get = ALERT.get


def ping_url() -> str:
    """Return the URL that is asked for while all is well; empty: none."""
    return str(PING.get("PING_URL"))


def asked() -> bool:
    """Return whether anything is to be looked at: there is one to be told."""
    return bool(get("URL") or get("EMAIL") or ping_url())
