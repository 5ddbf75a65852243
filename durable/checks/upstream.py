"""Releases of Celery and others that were not tested, and private names that changed in them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from durable import upstream

from .invariant import Finding, invariant

#: Parts that do without a name that has changed, as their warning in the log says.
DO_WITHOUT = {"health", "stopping"}


@invariant(
    "proj.W121",
    "the releases of Celery, kombu, billiard, Django and others are those that durable/upstream.py "
    "was tested with",
    "install those of requirements/runtime.txt, or run the tests with these",
)
def releases_are_tested() -> Iterator[Finding]:
    """Find a release that may have changed a private name."""
    for name, found in upstream.untested().items():
        tested = upstream.TESTED[name]
        yield (
            f"{name} {found} is installed, and durable was tested with {' and '.join(tested)}: a "
            "private name may mean something else there.",
            f"Install {name} {tested[0]}, as requirements/runtime.txt has it.",
        )


@invariant(
    "proj.E121",
    "each private name of upstream's that durable can't do without is as durable/upstream.py has "
    "it (not in the role web)",
    "install the releases of requirements/runtime.txt",
)
def private_names_are_as_tested() -> Iterator[Finding]:
    """Find a name that is gone or has another signature."""
    if settings.ROLE == "web":  # it would load Celery's worker for this alone
        return
    for part in sorted({name.part for name in upstream.NAMES} - DO_WITHOUT):
        for text in upstream.changed(part):
            yield (
                f"{text}: durable.{part} would fail, or do something else than it says.",
                "Install the releases of requirements/runtime.txt.",
            )
