"""Settings that a site must have once others than the person at this machine reach it.

Django's own ``check --deploy`` warns of each cookie and header apart, also on a machine where all
of it is HTTP on 127.0.0.1. proj/settings.py silences those, each with its reason; here is one
warning for all that HTTPS_ONLY switches, and only where ALLOWED_HOSTS names what people can reach:
not this machine alone, nor the Service of a cluster, which its own pods use.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from django.conf import settings

from .invariant import Finding, invariant

#: Ends of names that no public name has.
PRIVATE = frozenset({"localhost", "svc", "local", "internal", "test"})


def public() -> list[str]:
    """Return the names in ALLOWED_HOSTS by which people from elsewhere come."""
    return [host for host in settings.ALLOWED_HOSTS if not _private(host)]


def _private(host: str) -> bool:
    if host == "*":
        return False
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    name, _, end = host.rpartition(".")
    # In a cluster: web, web.proj-prod, web.proj-prod.svc. A public end has no hyphen but in xn--.
    return not name or end in PRIVATE or ("-" in end and not end.startswith("xn--"))


@invariant(
    "proj.W101",
    "ALLOWED_HOSTS without `*`",
    "name the hosts that people use",
)
def hosts_are_named() -> Iterator[Finding]:
    """Find a site that believes any Host header, and puts it into links."""
    if "*" in settings.ALLOWED_HOSTS:
        yield (
            "ALLOWED_HOSTS=*: a request itself chooses the host that stands in links and "
            "redirects.",
            "Set ALLOWED_HOSTS to the names that people use: ALLOWED_HOSTS=example.org.",
        )


@invariant(
    "proj.W102",
    "HTTPS_ONLY, once ALLOWED_HOSTS has a public name",
    "set HTTPS_ONLY=true behind a proxy that speaks HTTPS and sets X-Forwarded-Proto",
)
def others_come_by_https() -> Iterator[Finding]:
    """Find passwords and sessions that go over the network in the clear."""
    if public() and not settings.HTTPS_ONLY:
        yield (
            f"HTTPS_ONLY=false, and ALLOWED_HOSTS lets {', '.join(public())} in: passwords and "
            "sessions go over the network unencrypted.",
            "Put a proxy with HTTPS in front that sets X-Forwarded-Proto, and set HTTPS_ONLY=true.",
        )


@invariant(
    "proj.W103",
    "DEBUG is off, once ALLOWED_HOSTS has a public name",
    "set DEBUG=false",
)
def errors_stay_inside() -> Iterator[Finding]:
    """Find error pages that show the source and the settings to anybody."""
    if public() and settings.DEBUG:
        yield (
            f"DEBUG=true, and ALLOWED_HOSTS lets {', '.join(public())} in: error pages show source "
            "and settings, and each process remembers every query.",
            "Set DEBUG=false.",
        )


@invariant(
    "proj.W104",
    "EMAIL_URL is set, once ALLOWED_HOSTS has a public name",
    "set EMAIL_URL to your mail server",
)
def mail_is_sent() -> Iterator[Finding]:
    """Find mail that no one gets."""
    if public() and settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
        yield (
            f"EMAIL_URL is not set: mail becomes files in {settings.EMAIL_FILE_PATH}, and no one "
            "gets it.",
            "Set EMAIL_URL=smtp+tls://USER:PASSWORD@HOST:587.",
        )


@invariant(
    "proj.W105",
    "SECRET_KEY is random: 10 different characters or more, and not Django's example",
    "unset SECRET_KEY where one is generated, or take `openssl rand -base64 48`",
)
def the_key_can_not_be_guessed() -> Iterator[Finding]:
    """Find a key that somebody has typed; 32 random hexadecimal digits have 14 different ones."""
    key = settings.SECRET_KEY
    if len(set(key)) < 10 or key.startswith("django-insecure-"):
        yield (
            f"SECRET_KEY (not shown) has {len(set(key))} different characters"
            f"{', and is marked as insecure' if key.startswith('django-insecure-') else ''}: who "
            "guesses it signs sessions and tokens.",
            "Take a random one: openssl rand -base64 48. Everybody has to log in again then.",
        )


@invariant(
    "proj.W106",
    "TRUSTED_PROXIES is 1 or more, with HTTPS_ONLY",
    "set TRUSTED_PROXIES to how many proxies stand in front of the web role",
)
def visitors_are_told_apart() -> Iterator[Finding]:
    """Find a site behind a proxy that takes all visitors for one, the proxy."""
    if getattr(settings, "HTTPS_ONLY", False) and not getattr(settings, "NINJA_NUM_PROXIES", 1):
        yield (
            "HTTPS_ONLY=true and TRUSTED_PROXIES=0: all visitors have the proxy's address, and "
            "share one limit on tries to log in. One of them locks out all others.",
            "Set TRUSTED_PROXIES to how many proxies add to X-Forwarded-For: mostly 1.",
        )
