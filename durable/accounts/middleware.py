"""Conditions between a request and the views: a second factor that is due, a log-in too old.

And what follows from the answer: 429 for an attempt too many, the cookie of a known browser, and
the line of the audit log for what was done in the admin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from durable.web.outage import answer_to
from durable.web.problems import problem

from . import audit, conf, limits, second_factor
from .passwords import EASY
from .recent import is_recent, redirect_back

#: Open while the second factor is due, and never asked for a recent log-in.
OPEN = frozenset(
    {"account:second_factor", "account:logout", "admin:login", "admin:logout", "admin:jsi18n"}
)
#: The admin's pages of these apps change who may do what.
OF_ACCOUNTS = ("auth_", "otp_static_", "otp_totp_")
TO_READ = ("_changelist", "_history", "_autocomplete")


class AccountMiddleware:
    """After the authentication and before the views."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.of_accounts = (*OF_ACCOUNTS, f"{get_user_model()._meta.app_label}_")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        before = audit.current.set(request)
        try:
            response = self.get_response(request)
            if deed := _deed(request, response):
                audit.record("admin", about=deed)
        finally:
            audit.current.reset(before)
        if wait := getattr(request, "refused_for", None):
            return _refused(request, wait)
        if user := getattr(request, "known_user", None):
            limits.remember(request, response, user)
        return response

    def process_view(self, request: HttpRequest, view: Any, *args: Any) -> HttpResponse | None:
        """Lead elsewhere, where something has to be done first."""
        try:
            answer = self._gate(request)
        except DatabaseError as error:
            if getattr(view, "shows_outages", False):  # it trusts no log-in then
                request.outage = error  # type: ignore[attr-defined]
                return None
            answer = answer_to(request, error)
            if answer is None:
                raise
        request.was_led_away = answer is not None  # type: ignore[attr-defined]
        return answer

    def _gate(self, request: HttpRequest) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.view_name in OPEN:
            return None
        # Without the cookie no one is logged in; nothing is asked of the database then.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        state = request.session.get(second_factor.STATE)
        if state == second_factor.DUE:
            return redirect_back(request, "account:second_factor")
        if request.session.get(EASY) and match.view_name != "account:password_change":
            return redirect_back(request, "account:password_change")
        if not {"admin", "console"}.intersection(match.app_names[:1]) or not request.user.is_staff:
            return None
        if match.view_name == "admin:password_change":  # it has no limit
            return redirect("account:password_change")
        if conf.get("STAFF_SECOND_FACTOR") and state != second_factor.PASSED:
            return redirect_back(request, "account:second_factor_setup")
        discards = match.kwargs.get("what") == "discard"  # in the console
        sensitive = discards or self._is_sensitive(request, match.url_name or "")
        if sensitive and not is_recent(request):
            return redirect_back(request, "account:confirm")
        return None

    def _is_sensitive(self, request: HttpRequest, page: str) -> bool:
        if page.startswith(self.of_accounts) and not page.endswith(TO_READ):
            return True
        action = request.POST.get("action", "") if request.method == "POST" else ""
        return page.endswith("_delete") or action.startswith(("delete", "discard"))


def _deed(request: HttpRequest, response: HttpResponse) -> str:
    """Return what was done in the admin, by its page and the objects; empty for nothing.

    A form that wasn't accepted is shown again, with 200, and a deed leads on to another page.
    """
    match = request.resolver_match
    if request.method != "POST" or match is None or match.app_names[:1] != ["admin"]:
        return ""
    if match.view_name in OPEN or getattr(request, "was_led_away", False):
        return ""
    if not request.user.is_staff or not (response.status_code == 302 or "_popup" in request.POST):
        return ""
    done = [match.url_name or "", *(str(value) for value in match.kwargs.values())]
    if action := request.POST.get("action"):
        everything = request.POST.get("select_across") == "1"
        chosen = ["all"] if everything else request.POST.getlist("_selected_action")
        done += [action, *chosen]
    return " ".join(done)


def _refused(request: HttpRequest, wait: float) -> HttpResponse:
    seconds = int(wait) + 1
    headers = {"Retry-After": str(seconds)}
    if request.path_info.startswith("/api/"):
        detail = f"Try again in {seconds} seconds."
        return problem(429, "Too many requests", detail, headers)
    context = {"minutes": math.ceil(seconds / 60)}
    response = render(request, "account/refused.html", context, status=429)
    response["Retry-After"] = headers["Retry-After"]
    return response
