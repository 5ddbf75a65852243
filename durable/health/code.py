"""Can this code serve pages? Its URLs are imported and its templates compiled, once a process.

Django loads both when a request first needs them. A process whose URLs can't be imported starts,
answers the probes from a middleware, and each page with 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.checks import ERROR, Tags, run_checks
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.template.loader_tags import ExtendsNode
from django.templatetags.static import StaticNode

from durable.discovery import takes_part

logger = logging.getLogger(__name__)

SUFFIXES = {".html", ".txt"}


class Code:
    """The parts of the code that every page needs; what is in order once is not looked at again."""

    def __init__(self) -> None:
        self._settled: set[str] = set()

    def check(self) -> dict[str, str]:
        """Return each part's state, ``ok`` or how many faults the log tells of."""
        parts: dict[str, Callable[[], int]] = {"urls": _urls, "templates": _templates}
        states = {}
        for part, faults in parts.items():
            number = 0 if part in self._settled else faults()
            if not number:
                self._settled.add(part)
            # The answer is public: no path, no line of code.
            states[part] = f"{number} can't be used: see the log" if number else "ok"
        return states


def _urls() -> int:
    try:
        errors = [m for m in run_checks(tags=[Tags.urls]) if m.level >= ERROR]
    except Exception:
        logger.exception("readyz: the URLs can't be imported")
        return 1
    for message in errors:
        logger.error("readyz: %s", message)
    return len(errors)


def _templates() -> int:
    faults = 0
    for engine in engines.all():
        if not isinstance(engine, DjangoTemplates):
            continue
        for name in _names(engine):
            try:
                _load(engine, name)
            except Exception:
                logger.exception("readyz: the template %s can't be used", name)
                faults += 1
    return faults


def _names(engine: DjangoTemplates) -> Iterator[str]:
    """Yield the templates in the project's folders and its apps.

    Not those of installed packages, some of which are for other packages that aren't installed.
    """
    own = [Path(app.path, engine.app_dirname) for app in apps.get_app_configs() if takes_part(app)]
    folders: list[Any] = [*engine.dirs, *(own if engine.app_dirs else [])]
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.suffix in SUFFIXES:  # not what an editor has left there
                yield path.relative_to(folder).as_posix()


def _load(engine: DjangoTemplates, name: str) -> None:
    """Compile a template and find what it names: the one that it extends, its static files."""
    nodes = engine.get_template(name).template.nodelist
    node: Any
    for node in nodes.get_nodes_by_type(ExtendsNode):
        if parent := _constant(node.parent_name):
            engine.get_template(parent)
    for node in nodes.get_nodes_by_type(StaticNode):
        if path := _constant(node.path):
            StaticNode.handle_simple(path)


def _constant(expression: Any) -> str:
    """Return the text of an argument that needs no context, or nothing."""
    value = getattr(expression, "var", None)
    return value if isinstance(value, str) and not expression.filters else ""
