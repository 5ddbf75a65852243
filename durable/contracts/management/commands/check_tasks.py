"""``manage.py check_tasks``: a part of ``entrypoint migrate``, of CI and of a release."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from durable.contracts.signatures import ListError, as_text, own
from durable.contracts.waiting import problems


class Command(BaseCommand):
    """Refuse a version of the code that could not run what was called before."""

    help = (
        "Compares the names and signatures of this code's tasks with the rows that wait, the "
        "periodic tasks, and the list of the last release (RELEASED_TASKS)."
    )
    # The database is asked here alone, and may be older than the code.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--write", action="store_true", help="write the list of the last release anew, and end"
        )
        parser.add_argument(
            "--force", action="store_true", help="say it, and go on; FORCE=1 in the environment too"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = getattr(settings, "RELEASED_TASKS", None)
        if options["write"]:
            if path is None:
                raise CommandError("RELEASED_TASKS is not set: it names the file to write")
            found = own()
            Path(path).write_text(as_text(found), encoding="utf-8")
            self.stdout.write(f"{path}: {len(found)} tasks")
            return
        try:
            found_problems = problems()
        except ListError as error:
            raise CommandError(str(error)) from error
        if not found_problems:
            self.stdout.write("Tasks: all that waits can be called by this code.")
            return
        lines = "\n".join(f"  {problem}" for problem in found_problems)
        if options["force"] or os.environ.get("FORCE", "") in {"1", "true"}:
            self.stderr.write(f"Tasks that this code can't call, and FORCE=1 goes on:\n{lines}")
            return
        raise CommandError(
            f"this code can't call what was called before:\n{lines}\n"
            "Keep the old name or signature until its rows are gone (docs/upgrading.md, “A task "
            "changes”), or go on with FORCE=1: such rows wait for a worker that can, and end in "
            "quarantine."
        )
