"""Installed apps that take part: in schedules, metrics, the API and the URLs, by a module's name.

The project's own apps do, those of this package do, and one of site-packages does if the project
asks for it (``DURABLE_APPS``): a library's ``schedules.py`` may mean something else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from celery import current_app
from django.apps import AppConfig, apps
from django.conf import settings

#: Folders of installed packages, as pip and Debian name them.
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def takes_part(config: AppConfig) -> bool:
    """Return whether the modules of an app are looked for."""
    if config.name.partition(".")[0] == __package__:
        return True
    if config.name in getattr(settings, "DURABLE_APPS", ()):
        return True
    return _INSTALLED.isdisjoint(Path(config.path).parts)


def modules(name: str) -> Iterator[ModuleType]:
    """Yield the module *name* of each app that takes part and has one, in the apps' order."""
    for config in apps.get_app_configs():
        path = f"{config.name}.{name}"
        if takes_part(config) and find_spec(path):
            yield import_module(path)


@cache
def load_tasks() -> None:
    """Import the tasks of all apps, once.

    Not in a worker or a beat, which have done it: Celery's Django fixup sets Django up again each
    time, with its logging, and runs all of its checks.
    """
    if not current_app.loader.worker_initialized:
        current_app.loader.import_default_modules()


def is_own(module: str) -> bool:
    """Return whether a loaded module is the project's or this package's, and not of its tests."""
    parts = Path(getattr(sys.modules.get(module), "__file__", None) or "").parts
    if module.partition(".")[0] != __package__ and not _INSTALLED.isdisjoint(parts):
        return False
    return bool(parts) and "tests" not in parts
