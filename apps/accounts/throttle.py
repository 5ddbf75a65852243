"""How many attempts to log in are answered, per address and per user name.

A password can only be guessed by trying. The count stands in Django's cache, which all processes
share, and is changed under a lock of the database: with a bare ``get`` and ``set`` (Ninja's
throttles, which also keep a request's state on an object that all threads use) parallel attempts
would count as one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256

from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpRequest
from ninja.throttling import BaseThrottle


@dataclass(frozen=True)
class Limit:
    """At most *count* attempts in any *seconds*."""

    name: str
    count: int
    seconds: int

    def key(self, ident: str) -> str:
        """Return the cache key; hashed, since a user name may hold anything."""
        return f"attempts:{self.name}:{sha256(ident.encode()).hexdigest()}"


#: Whoever asks, for whatever name.
BY_ADDRESS = Limit("address", 30, 60)
#: Whoever asks for this name, from anywhere. A success clears it, so that it counts failures.
BY_NAME = Limit("name", 10, 300)


def take(limit: Limit, ident: str) -> float:
    """Count one attempt. Return 0, or the seconds to wait when it is one too many."""
    key = limit.key(ident)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        now = time.time()
        taken = [moment for moment in cache.get(key, []) if moment > now - limit.seconds]
        if len(taken) >= limit.count:
            return float(taken[0] + limit.seconds - now)
        cache.set(key, [*taken, now], limit.seconds)
    return 0.0


def wait_before_attempt(request: HttpRequest, username: str) -> float:
    """Count an attempt to log in as *username*. Return 0, or the seconds to wait before the next.

    The address is the client's own when ``TRUSTED_PROXIES`` says how many proxies stand in front.
    """
    address = BaseThrottle().get_ident(request) or "unknown"
    return take(BY_ADDRESS, address) or take(BY_NAME, username.casefold())


def forget_attempts(username: str) -> None:
    """Start to count *username*'s attempts anew, after a success."""
    cache.delete(BY_NAME.key(username.casefold()))
