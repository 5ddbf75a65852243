"""Rights to see the console and to act in it, also while PostgreSQL is away."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from durable.database.outage import is_outage

from . import conf

#: Seconds in which one who was seen before may look on while sessions can't be read.
REMEMBERED = 600.0
#: The deeds, and the permission for each.
PERMISSIONS = {
    "retry": "retry", "discard": "discard", "cancel": "cancel", "pause": "pause",
    "resume": "pause", "run": "schedule", "enable": "schedule", "disable": "schedule",
    "stop": "stop_worker",
}  # fmt: skip


#: The pages, in the order of their tabs.
TABS = (
    "now", "tasks", "failures", "queues", "workers", "schedules", "names", "backups", "checks",
    "audit",
)  # fmt: skip


class Viewer(NamedTuple):
    """A person at the console."""

    name: str
    deeds: frozenset[str]
    sees_arguments: bool

    @property
    def tabs(self) -> tuple[str, ...]:
        """The pages, in the order of their tabs."""
        return TABS

    @property
    def bulk(self) -> list[tuple[str, str]]:
        """The deeds that the person may do to all that a filter finds."""
        return self._of({"retry": "Start again", "discard": "Discard", "cancel": "Cancel"})

    @property
    def group(self) -> list[tuple[str, str]]:
        """The deeds that the person may do to a group of failures."""
        return self._of({"retry": "Start all again", "discard": "Discard all"})

    def _of(self, words: dict[str, str]) -> list[tuple[str, str]]:
        return [(what, word) for what, word in words.items() if self.may(what)]

    def may(self, what: str) -> bool:
        """Return whether the person may do that."""
        return what in self.deeds


_seen: dict[str, tuple[float, Viewer]] = {}


def viewer_of(user: Any) -> Viewer:
    """Return what *user* may do."""
    deeds: set[str] = set()
    if not conf.get("READ_ONLY"):
        deeds = {what for what, name in PERMISSIONS.items() if user.has_perm(_full(name))}
    return Viewer(user.get_username(), frozenset(deeds), user.has_perm(_full("view_arguments")))


def _full(name: str) -> str:
    return f"durable_console.{name}"


def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let staff with the permission see a page; *view* gets the request and the viewer."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            if outage := getattr(request, "outage", None):  # of a gate before this one
                raise outage
            user: Any = request.user
            if not (user.is_authenticated and user.is_active and user.is_staff):
                if user.is_authenticated:
                    raise PermissionDenied
                return redirect_to_login(request.get_full_path(), reverse("admin:login"))
            if not user.has_perm(_full("view_console")):
                raise PermissionDenied
            viewer = viewer_of(user)
            _remember(request, viewer)
            response = view(request, viewer, *args, **kwargs)
        except DatabaseError as error:
            remembered = _remembered(request) if is_outage(error) else None
            if remembered is None or request.method != "GET":
                raise
            from .views import away

            response = away(request, remembered)
        response["Cache-Control"] = "no-store"
        return response

    inner.shows_outages = True  # type: ignore[attr-defined]
    return inner


def _key(request: HttpRequest) -> str:
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return hashlib.sha256(cookie.encode()).hexdigest() if cookie else ""


def _remember(request: HttpRequest, viewer: Viewer) -> None:
    now = time.monotonic()
    # A copy, which is made at once: other threads remember people too.
    for key in [key for key, (until, _) in _seen.copy().items() if until < now]:
        _seen.pop(key, None)
    if key := _key(request):
        _seen[key] = now + REMEMBERED, viewer._replace(deeds=frozenset())


def _remembered(request: HttpRequest) -> Viewer | None:
    until, viewer = _seen.get(_key(request), (0.0, None))
    return viewer if until > time.monotonic() else None
