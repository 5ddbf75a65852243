"""The URLs: the admin, the API, and what each of the project's apps brings in its urls.py."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from durable.discovery import modules
from durable.web import toolbar
from durable.web.api import no_such_path

from .api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("api/<path:path>", no_such_path),
    *(path("", include(module)) for module in modules("urls") if hasattr(module, "urlpatterns")),
    *toolbar.urls(),
    # Unless an app has a start page.
    path("", RedirectView.as_view(pattern_name="admin:index"), name="start"),
]
