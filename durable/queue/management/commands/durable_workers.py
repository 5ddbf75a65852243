"""``manage.py durable_workers``: which workers are alive, and how much each of them has to do."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from durable.queue import overview

FIELDS = ("hostname", "running", "seconds", "held")


class Command(BaseCommand):
    """Lists the workers as their rows know them; deploy/k8s/scale-workers reads it."""

    help = "List the workers that are alive, the durable tasks they run, and those they hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        alive = (one for one in overview.workers() if one.alive)
        rows = [tuple(getattr(one, name) for name in FIELDS) for one in alive]
        if options["json"]:
            found = [dict(zip(FIELDS, row, strict=True)) for row in rows]
            self.stdout.write(json.dumps(found))
            return
        for hostname, running, seconds, held in [FIELDS, *rows]:
            self.stdout.write(f"{hostname:40} {running:>7} {seconds:>7} {held:>5}")
