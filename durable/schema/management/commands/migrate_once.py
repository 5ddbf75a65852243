"""``manage.py migrate_once``: the role `migrate` of docker/entrypoint.sh."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from durable.schema import privileges
from durable.schema.lock import alone
from durable.schema.progress import Progress, add_wait_option


class Command(BaseCommand):
    """Bring schema, periodic tasks and privileges up to date, while no other process does."""

    help = (
        "Waits for the database, and for another migration that runs; then refuses a code that "
        "can't run what waits (check_tasks), migrates, makes the cache table, writes the periodic "
        "tasks, keeps the static files for other versions, and grants the other roles what they "
        "need. Changes nothing when run again."
    )
    # They need the database, which may not be there yet; `migrate` runs its own.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_wait_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with alone(Progress(self.stdout.write, options["wait"])):
            if apps.is_installed("durable.contracts"):
                call_command("check_tasks")
            call_command("migrate", interactive=False, verbosity=options["verbosity"])
            call_command("createcachetable", verbosity=options["verbosity"])
            call_command("sync_schedules", verbosity=options["verbosity"])
            if apps.is_installed("durable.static"):
                from durable.static.publish import publish

                publish()
            if given := privileges.give():
                self.stdout.write(f"Privileges: {', '.join(given)} may do what they need")
        if newer := self.newer():
            self.stderr.write(
                f"the schema is newer than this version: it has {', '.join(newer)}, and keeps them"
            )

    def newer(self) -> list[str]:
        """Return the migrations in the database that this code lacks, as after a rollback."""
        loader = MigrationLoader(connection, ignore_no_migrations=True)
        return sorted(
            f"{app}.{name}"
            for app, name in loader.applied_migrations
            if app in loader.migrated_apps and (app, name) not in loader.disk_migrations
        )
