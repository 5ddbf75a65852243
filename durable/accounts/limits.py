"""How many attempts are answered: to log in, and to have a mail sent.

A password can only be guessed by trying. The count stands in Django's cache, which all processes
share, and is changed under a lock of the database: with a bare ``get`` and ``set`` parallel
attempts would count as one.

A stranger must not lock somebody out either. A browser that has logged in to an account keeps a
signed cookie and is counted by itself, whatever others do. And staff are never refused by their
name alone, however many addresses try it: what bounds a guess there is the second factor.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from durable.client_address import client_address, network

from . import conf

HOUR = 3600
SALT = "known-browser"
COOKIE_AGE = 180 * 24 * HOUR
#: Accounts that one browser is known to.
ACCOUNTS = 5


@dataclass(frozen=True)
class Limit:
    """At most *count* attempts in any *seconds*."""

    name: str
    count: int
    seconds: int

    def key(self, ident: str) -> str:
        """Return the cache key; hashed, since a user name may hold anything."""
        return f"attempts:{sha256(f'{self.name} {ident}'.encode()).hexdigest()}"


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


def mail(request: HttpRequest, mailbox: str) -> float:
    """Count a mail to *mailbox* that somebody without an account asks for."""
    count = conf.get("MAILS_PER_HOUR")
    address = network(client_address(request.META))
    return take(Limit("mails-from", 4 * count, HOUR), address) or take(
        Limit("mails-to", count, HOUR), mailbox.casefold()
    )


class LogIn:
    """One attempt to log in as *name*; *user* is the account of that name, if there is one."""

    def __init__(self, request: HttpRequest, name: str, user: Any) -> None:
        self.address = network(client_address(request.META))
        self.name = name.casefold()
        self.is_staff = bool(user and user.is_staff)
        browser, accounts = known(request)
        self.browser = f"{browser} {user.pk}" if user and str(user.pk) in accounts else ""

    def wait(self) -> float:
        """Count it. Return 0, or the seconds to wait before the next."""
        if self.browser:
            return take(self._pair(), self.browser)
        minute = Limit("address", conf.get("TRIES_PER_MINUTE"), 60)
        wait = take(minute, self.address) or take(self._pair(), self._here())
        if wait or self.is_staff:
            return wait
        return take(self._everywhere(), self.name)

    def forget(self) -> None:
        """Start to count anew from here, after a success; elsewhere, failures stay counted."""
        cache.delete(self._pair().key(self.browser or self._here()))
        if not (self.browser or self.is_staff):
            key = self._everywhere().key(self.name)
            cache.set(key, cache.get(key, [])[:-1], HOUR)

    def _here(self) -> str:
        return f"{self.address} {self.name}"

    @staticmethod
    def _pair() -> Limit:
        # Ten at once, and after those as many as the hour allows.
        return Limit("pair", 10, 10 * HOUR // conf.get("TRIES_PER_HOUR"))

    @staticmethod
    def _everywhere() -> Limit:
        return Limit("name", conf.get("TRIES_PER_HOUR"), HOUR)


def cookie() -> str:
    """Return the cookie's name, which a site at another path of the same host has not."""
    return f"{settings.SESSION_COOKIE_NAME}-known"


def known(request: HttpRequest) -> tuple[str, list[str]]:
    """Return the browser's own id and the accounts that it has logged in to, by its cookie."""
    try:
        browser, *accounts = signing.loads(
            request.COOKIES.get(cookie(), ""), salt=SALT, max_age=COOKIE_AGE
        )
    except signing.BadSignature:
        return uuid4().hex, []
    return browser, accounts


def remember(request: HttpRequest, response: HttpResponse, user: Any) -> None:
    """Let the browser be known to the account *user* from now on."""
    browser, accounts = known(request)
    accounts = [str(user.pk), *(pk for pk in accounts if pk != str(user.pk))][:ACCOUNTS]
    response.set_cookie(
        cookie(),
        signing.dumps([browser, *accounts], salt=SALT),
        max_age=COOKIE_AGE,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
