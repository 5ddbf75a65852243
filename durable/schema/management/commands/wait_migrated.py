"""``manage.py wait_migrated``: the role `wait-migrated` of docker/entrypoint.sh."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from durable.database.session import reason
from durable.schema.missing import missing
from durable.schema.progress import Progress, add_wait_option


class Command(BaseCommand):
    """Wait until nothing is left to migrate (what ``migrate --check`` asks)."""

    help = "Waits until the database has every migration of this code, and says what it waits for."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_wait_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        progress = Progress(self.stdout.write, options["wait"])
        for _ in progress.rounds(pause=1):
            if not (missing := self.missing()):
                self.stdout.write(f"{progress.seconds:4.0f} s: the schema is that of this code")
                return
            progress.wait(missing)
        raise CommandError(f"gave up after {progress.seconds:.0f} s of waiting for {progress.last}")

    def missing(self) -> str:
        """Return what is missing, or nothing."""
        try:
            found = missing()
        except DatabaseError as error:
            connections[DEFAULT_DB_ALIAS].close()
            return f"the database: {reason(error)}"
        if not found:
            return ""
        from_ = f"{len(found)} from {'.'.join(found[0])} on"
        return (
            f"migrations, {from_}: `docker/entrypoint.sh migrate` applies them "
            "(compose: the service migrate; Kubernetes: kubectl logs deploy/web -c schema)"
        )
