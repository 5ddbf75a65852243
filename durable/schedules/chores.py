"""What the leading beat does beside its ticks: ``once_a_minute()`` of each app's `chores.py`.

In a thread: a server that does not answer must hold up no tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connections

from durable.discovery import modules

logger = logging.getLogger(__name__)

#: Seconds between two rounds.
INTERVAL = 60.0


@cache
def sources() -> list[Callable[[], None]]:
    """Return the function ``once_a_minute`` of every `chores.py`."""
    found = (getattr(module, "once_a_minute", None) for module in modules("chores"))
    return [each for each in found if each is not None]


class Chores:
    """The rounds of one beat, while it leads: and while the database is away, if it led before.

    :param service: Celery's beat, whose scheduler knows whether it leads.
    """

    def __init__(self, service: Any) -> None:
        self._service = service
        self._led = False
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread, which ends with the process or by ``stop()``."""
        threading.Thread(target=self.run, name="durable-chores", daemon=True).start()

    def stop(self) -> None:
        """End ``run()`` after its round."""
        self._stop.set()

    def run(self) -> None:
        """Go round until ``stop()``, the first time as soon as this beat leads."""
        while not self._stop.is_set():
            self._stop.wait(INTERVAL if self.round() else 1.0)

    def round(self) -> bool:
        """Do the chores, if they are this beat's; return whether they are."""
        scheduler = self._service.scheduler
        leads = scheduler.leader.leads if hasattr(scheduler, "leader") else True
        self._led = leads or (self._led and scheduler.is_cut_off)
        if not self._led:
            return False
        for chore in sources():
            try:
                chore()
            except Exception as error:
                logger.warning("beat: %s pauses: %s: %s",
                               chore.__module__, type(error).__name__, error)  # fmt: skip
        connections.close_all()  # seldom needed, so none is kept
        return True
