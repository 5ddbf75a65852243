"""The certificates of the names by which the site is reached over HTTPS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from ..line import Level, Line

#: Days that are left: a certificate for 90 days is renewed at 30, one for 6 days at 2.
DAYS = (7, 1)
TIMEOUT = 5.0


def lines() -> Iterator[Line]:
    """Yield a line for each https:// in CSRF_TRUSTED_ORIGINS, where SITE_HOST is too."""
    found = [urlsplit(each) for each in settings.CSRF_TRUSTED_ORIGINS]
    sites = [url for url in found if url.scheme == "https" and "*" not in (url.hostname or "*")]
    for url in sites:
        yield of(str(url.hostname), url.port or 443)
    if not sites:
        yield Line("certificate", "", Level.OK, "no site by HTTPS (SITE_HOST is not set)")


def of(host: str, port: int) -> Line:
    """Return the line of one server."""
    do = "see the log of the proxy, and that the name leads here (DNS, ports 80 and 443)"
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT) as raw,
            ssl.create_default_context().wrap_socket(raw, server_hostname=host) as tls,
        ):
            end = ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return Line("certificate", host, Level.FAIL, error.verify_message, do)
    except (OSError, KeyError) as error:
        return Line("certificate", host, Level.WARN, f"can't be asked from here: {error}", do)
    return expiry(host, (end - time.time()) / 86400, do)


def expiry(host: str, days: float, do: str = "") -> Line:
    """Return the line of a certificate that ends in so many *days*."""
    level = Level.FAIL if days < DAYS[1] else Level.WARN if days < DAYS[0] else Level.OK
    return Line("certificate", host, level, f"ends in {days:.0f} days", do)
