"""``manage.py outbox_relay``: a relay as a process of its own; beat runs one anyway."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from durable.queue.relay import Relay


class Command(BaseCommand):
    """Sends the tasks that their callers could not publish, and those whose messages got lost."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        relay = Relay()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        self.stdout.write("relay: started")
        self.stdout.flush()
        relay.run()
