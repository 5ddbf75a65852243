"""``manage.py doctor``: what ``make doctor`` runs where the settings are."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from durable.doctor import outside
from durable.doctor.examine import LIMIT, PARTS, examine
from durable.doctor.line import worst
from durable.doctor.table import as_text, summary


class Command(BaseCommand):
    """Show the state of all parts, and what to do."""

    help = (
        "Shows the state of all parts of this deployment. Exit code: 0 if all is well, 1 if there "
        "is something to look at, 2 if something is to be mended."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("parts", nargs="*", help=", ".join(name for name, _ in PARTS))
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument("--limit", type=float, default=LIMIT, help="seconds (%(default)g)")
        parser.add_argument(
            "--outside", action="store_true", help="read what deploy/doctor found, by stdin"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        known = {name for name, _ in PARTS}
        if unknown := set(options["parts"]) - known:
            raise CommandError(f"{', '.join(sorted(unknown))}: expected {', '.join(sorted(known))}")
        lines = list(outside.lines(json.load(sys.stdin))) if options["outside"] else []
        lines += examine(options["limit"], options["parts"])
        if options["json"]:
            self.stdout.write(json.dumps(summary(lines), indent=2))
        else:
            color = self.stdout.isatty() and not options["no_color"]
            self.stdout.write("\n".join(as_text(lines, color=color)))
        sys.exit(worst(lines))
