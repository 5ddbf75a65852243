"""``manage.py durable_workers``: which workers are alive, and how much each of them has to do."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from durable.queue import conf, store

FIELDS = ("hostname", "running", "seconds", "held")

_QUERY = """SELECT hostname, count(entry.id),
        coalesce(extract(epoch FROM sum(clock_timestamp() - entry.started_at)), 0)::int,
        coalesce(cardinality(held), 0)
    FROM durable_worker AS worker LEFT JOIN durable_task AS entry ON entry.worker = worker.id
    WHERE seen_at > clock_timestamp() - %s * interval '1 s'
    GROUP BY worker.id ORDER BY hostname"""


class Command(BaseCommand):
    """Lists the workers as the ledger knows them; deploy/k8s/scale-workers reads it."""

    help = "List the workers that are alive, the durable tasks they run, the messages they hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = store.run(_QUERY, [conf.get("DEAD_AFTER")])
        if options["json"]:
            found = [dict(zip(FIELDS, row, strict=True)) for row in rows]
            self.stdout.write(json.dumps(found))
            return
        for hostname, running, seconds, held in [FIELDS, *rows]:
            self.stdout.write(f"{hostname:40} {running:>7} {seconds:>7} {held:>5}")
