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
    found = sites()
    for host, port in found:
        yield of(host, port)
    if not found:
        yield Line("certificate", "", Level.OK, "no site by HTTPS (SITE_HOST is not set)")


def sites() -> list[tuple[str, int]]:
    """Return the names and ports that should have a certificate."""
    found = [urlsplit(each) for each in settings.CSRF_TRUSTED_ORIGINS]
    return [(str(url.hostname), url.port or 443) for url in found
            if url.scheme == "https" and "*" not in (url.hostname or "*")]  # fmt: skip


def end_of(host: str, port: int) -> float:
    """Return when the certificate of a server ends, in seconds since 1970.

    :raises OSError: it can't be reached, or its certificate is not valid.
    """
    with (
        socket.create_connection((host, port), timeout=TIMEOUT) as raw,
        ssl.create_default_context().wrap_socket(raw, server_hostname=host) as tls,
    ):
        return ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))


def of(host: str, port: int) -> Line:
    """Return the line of one server."""
    do = "see the log of the proxy, and that the name leads here (DNS, ports 80 and 443)"
    try:
        end = end_of(host, port)
    except ssl.SSLCertVerificationError as error:
        return Line("certificate", host, Level.FAIL, error.verify_message, do)
    except (OSError, KeyError) as error:
        return Line("certificate", host, Level.WARN, f"can't be asked from here: {error}", do)
    return expiry(host, (end - time.time()) / 86400, do)


def expiry(host: str, days: float, do: str = "") -> Line:
    """Return the line of a certificate that ends in so many *days*."""
    level = Level.FAIL if days < DAYS[1] else Level.WARN if days < DAYS[0] else Level.OK
    return Line("certificate", host, level, f"ends in {days:.0f} days", do)
