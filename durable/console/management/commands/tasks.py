"""``manage.py tasks``: what the console shows and does, from a shell."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from durable.console import deeds, filters, life, listing
from durable.console.words import size
from durable.journal import minutes
from durable.queue import overview
from durable.queue.endings import actions

#: Of the last day.
NAMES = ("name", "done", "failed", "died", "memory")
COLUMNS = ("id", "state", "task", "queue", "at", "attempt", "says")


class Command(BaseCommand):
    """Lists and shows tasks, starts them again, discards and cancels them, pauses queues and tasks.

    FILTER is that of the console: task:mail state:failed older:1h
    """

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what",
            choices=(
                "list",
                "show",
                "retry",
                "discard",
                "cancel",
                "pause",
                "resume",
                "queues",
                "names",
            ),
        )
        parser.add_argument("words", nargs="*", metavar="FILTER, ID or NAME")
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--task", action="append", default=[], metavar="NAME",
            help="a task to pause or to resume, in whatever queue it is called",
        )  # fmt: skip
        parser.add_argument("--limit", type=int, default=50, help="of a list")
        parser.add_argument(
            "--yes", action="store_true", help="do it; without this, say what would be done"
        )
        parser.add_argument("--who", default="", help="for the audit; who runs this, if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        words, what = options["words"], options["what"]
        try:
            if what == "list":
                self._list(" ".join(words), options["limit"], options["json"])
            elif what == "queues":
                found = [one._asdict() for one in overview.queues()]
                self._print(found, ("name", "ready", "scheduled", "oldest"), options["json"])
            elif what == "names":
                found = minutes.by_task(timezone.now() - timedelta(days=1))
                for one in found:
                    one["memory"] = size(1024 * (one["memory"] or 0))
                self._print(found, NAMES, options["json"])
            elif what == "show":
                self._show(words, options["json"])
            elif what in ("pause", "resume"):
                who = options["who"] or _who()
                self._pause(what, [("queue", one) for one in words], who)
                self._pause(what, [("task", one) for one in options["task"]], who)
                if not (words or options["task"]):
                    raise CommandError(f"what? manage.py tasks {what} mail, or --task NAME")
            else:
                self._do(what, words, options)
        except filters.FilterError as error:
            raise CommandError(str(error)) from error

    def _list(self, text: str, limit: int, as_json: bool) -> None:
        asked, before, left = filters.parse(text), None, limit
        found: list[dict[str, Any]] = []
        while left > 0:
            page = listing.page(asked, before, min(left, 500))
            found += [line._asdict() for line in page.lines]
            left, before = limit - len(found), page.before
            if before is None:
                break
        self._print(found, COLUMNS, as_json)

    def _print(self, found: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(found, default=str))
            return
        for line in _table(
            [{name: _short(one[name]) for name in columns} for one in found], columns
        ):
            self.stdout.write(line)

    def _show(self, words: list[str], as_json: bool) -> None:
        one = life.of(_id(words), sees_arguments=True)
        if one is None:
            raise CommandError(f"{words[0]}: no such task; manage.py tasks list shows their ids")
        told = one.progress
        shown = {
            "id": one.row.pk, "task_id": one.row.task_id, "task": one.row.task,
            "queue": one.row.queue, "state": one.state, "args": one.args, "kwargs": one.kwargs,
            "limit": one.limit, "unique": one.unique, "trace": one.trace,
            "progress": told and [told.done, told.total, told.message],
            "life": [[event.at, event.says] for event in one.events],
            "result": getattr(one.row, "result", None),
            "traceback": getattr(one.row, "traceback", None),
        }  # fmt: skip
        if as_json:
            self.stdout.write(json.dumps(shown, default=str))
            return
        for name, value in shown.items():
            if name == "life":
                for at, says in value:
                    self.stdout.write(f"  {at}  {says}")
            elif value not in (None, ""):
                self.stdout.write(f"{name}: {value}")

    def _pause(self, what: str, named: list[tuple[actions.Kind, str]], who: str) -> None:
        for kind, name in named:
            changed = deeds.pause(what, who, kind, name)
            self.stdout.write(f"{name} is {what}d{'' if changed else ' already'}")

    def _do(self, what: str, words: list[str], options: dict[str, Any]) -> None:
        who = options["who"] or _who()
        if len(words) == 1 and words[0].isdecimal():
            if not options["yes"]:
                self.stdout.write(f"1 task; with --yes: {what}")
                return
            deed = deeds.of_one(what, who, words[0], _id(words))
            self.stdout.write(f"{deed.done} done" + (f"; {deed.note}" if deed.note else ""))
            return
        text = " ".join(words)
        if not text:
            raise CommandError(f"a filter or an id is missing: manage.py tasks {what} state:failed")
        waiting, ended, more = deeds.count(what, filters.parse(text))
        found, or_more = waiting + ended, " or more" if more else ""
        number = f"{found}{or_more} tasks"
        if what == "discard" and ended:
            number += f", {ended}{or_more} of them failures that have ended"
        if not options["yes"]:
            self.stdout.write(f"{number}; with --yes: {what}")
            return
        deed = deeds.of_many(what, who, text, found)
        self.stdout.write(f"{number}: a durable task works it off, deed {deed.pk} of /ops/audit/")


def _id(words: list[str]) -> int:
    if len(words) != 1 or not words[0].isdecimal():
        raise CommandError("one id is expected, as manage.py tasks list shows it")
    return int(words[0])


def _who() -> str:
    try:
        return f"{getpass.getuser()} (shell)"
    except (KeyError, OSError):  # a container's user need not have a name
        return "shell"


def _short(value: Any) -> str:
    text = "" if value is None else f"{value:%F %T}" if hasattr(value, "strftime") else str(value)
    return text.replace("\n", " ")[:80]


def _table(rows: list[dict[str, str]], columns: tuple[str, ...]) -> Iterator[str]:
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in columns}
    for row in [dict(zip(columns, columns, strict=True)), *rows]:
        yield "  ".join(f"{row[name]:{widths[name]}}" for name in columns).rstrip()
