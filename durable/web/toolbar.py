"""Django's debug toolbar, in development: what it needs to know of this stack."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver


def shown(request: HttpRequest) -> bool:
    """Return whether a page has it: each one that isn't the API's or a probe's."""
    return not request.path.startswith(("/api/", "/livez", "/readyz", "/metrics"))


CONFIG = {
    # By default it looks at the visitor's address, which is the engine's gateway in a container.
    "SHOW_TOOLBAR_CALLBACK": "durable.web.toolbar.shown",
    # Within the page: the next request may come to another process.
    "RENDER_PANELS": True,
}


def urls() -> list[URLPattern | URLResolver]:
    """Return its URLs; none where it isn't installed."""
    if not apps.is_installed("debug_toolbar"):
        return []
    found: list[URLPattern | URLResolver]
    found = import_module("debug_toolbar.toolbar").debug_toolbar_urls()
    return found
