"""A recent log-in: what must not be done from a browser that somebody left open."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from . import conf

#: The key in the session: when the person last gave the password.
STAMP = "logged-in-at"


def is_recent(request: HttpRequest) -> bool:
    """Return whether the log-in is recent; for a form that was opened in time, twice as long."""
    allowed = 60 * conf.get("RECENT_MINUTES") * (1 if request.method in {"GET", "HEAD"} else 2)
    return bool(time.time() - request.session.get(STAMP, 0) <= allowed)


def redirect_back(request: HttpRequest, view: str) -> HttpResponse:
    """Lead to *view*, and from there to this page."""
    here = request.get_full_path()
    if request.method not in {"GET", "HEAD"} and request.resolver_match:
        # What was posted is lost; a page that only takes forms is no place to come back to.
        here = request.headers.get("Referer", "")
        here = here if is_here(request, here) else resolve_url("start")
    return HttpResponseRedirect(f"{resolve_url(view)}?{urlencode({'next': here})}")


def is_here(request: HttpRequest, url: str) -> bool:
    """Return whether *url* leads to this site."""
    return url_has_allowed_host_and_scheme(url, {request.get_host()}, request.is_secure())


def next_page(request: HttpRequest) -> str:
    """Return where a page leads on to: what its address says, if that is of this site."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    return url if is_here(request, url) else resolve_url("start")


def recent_login_required(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate a view: an older log-in is asked for the password again."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated and not is_recent(request):
            return redirect_back(request, "account:confirm")
        return view(request, *args, **kwargs)

    return asked
