"""The URLs: the admin, the API, and what each of the project's apps brings in its urls.py."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import apps
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from .api import api, no_such_path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("api/<path:path>", no_such_path),
    *(
        path("", include(f"{config.name}.urls"))
        for config in apps.get_app_configs()
        if config.name.startswith("apps.") and find_spec(f"{config.name}.urls")
    ),
    # Unless an app has a start page.
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
