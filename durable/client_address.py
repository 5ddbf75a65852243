"""The address of a visitor, behind as many proxies as TRUSTED_PROXIES says."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def client_address(environ: Mapping[str, Any]) -> str:
    """Return the visitor's address from a WSGI environment or ``request.META``; empty if unknown.

    Each proxy adds the address that it sees at the end of X-Forwarded-For. All before those of the
    trusted ones is what the visitor claims.
    """
    seen = str(environ.get("REMOTE_ADDR") or "")
    proxies: int = getattr(settings, "TRUSTED_PROXIES", 0)
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR") or "")
    if proxies and forwarded:
        hops = forwarded.split(",")
        seen = hops[-min(proxies, len(hops))]
    try:
        found = ip_address(seen.strip())
        return str(getattr(found, "ipv4_mapped", None) or found)  # ::ffff:10.1.2.3
    except ValueError:
        return ""


def came_by_a_proxy(request: HttpRequest) -> bool:
    """Return whether a request came from outside; no client can take away what a proxy adds."""
    return "X-Forwarded-For" in request.headers or "Forwarded" in request.headers


def network(address: str) -> str:
    """Return what limits count as one visitor: an IPv4 address, or a /64 of IPv6, which one has."""
    if ":" not in address:
        return address or "unknown"
    return str(ip_network(f"{address}/64", strict=False))
