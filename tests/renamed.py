"""Another release of Celery, in which a method has one argument more (durable/upstream.py)."""

from __future__ import annotations

from typing import Any

from celery.worker import WorkController

_terminate = WorkController.terminate


def terminate(self: Any, why: str = "", in_sighandler: bool = False) -> Any:
    """Do what it does today."""
    return _terminate(self, in_sighandler)


WorkController.terminate = terminate
