"""``manage.py wait_migrated``: the role `wait-migrated` of docker/entrypoint.sh."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from durable.database.session import reason
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
        connection = connections[DEFAULT_DB_ALIAS]
        try:
            executor = MigrationExecutor(connection)
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except (DatabaseError, InconsistentMigrationHistory) as error:
            connection.close()
            return f"the database: {reason(error)}"
        if not plan:
            return ""
        first = f"{plan[0][0].app_label}.{plan[0][0].name}"
        return (
            f"migrations, {len(plan)} from {first} on: `docker/entrypoint.sh migrate` applies them "
            "(compose: the service migrate; Kubernetes: kubectl logs deploy/web -c schema)"
        )
