"""One task from its call to its end, as its row or its entry has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from json import dumps
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from kombu.utils.json import loads

from durable.journal import lines, redaction
from durable.journal.models import Entry
from durable.queue import conf as queue
from durable.queue.models import Progress, Task

from . import charts, deeds, listing

#: Lives of the same task, before and after it was started again.
LIVES = 20


class Event(NamedTuple):
    """Something that happened to a task."""

    at: datetime | None
    says: str
    kind: str
    #: Seconds since the event before.
    after: float | None


class Life:
    """The life of a task, as its page shows it."""

    def __init__(self, row: Any, *, sees_arguments: bool) -> None:
        self.row = row
        self.ended = isinstance(row, Entry)
        self.now = timezone.now()
        self.state = listing.ended_state(row) if self.ended else listing.state_of(row, self.now)
        self.called_at = row.called_at if self.ended else row.created_at
        self.due_at = row.due_at if self.ended else row.wanted_at
        self.headers = loaded(row.headers, {})
        self.args, self.kwargs, self.embed = _call(row)
        self.hidden = not sees_arguments
        self.events = list(_with_pauses(self._events()))
        self.follows = list(_follows(self.embed))

    def can(self, what: str) -> bool:
        """Return whether that can be done to it, as it is now."""
        row = self.row
        over = self.ended and row.replayed_at is not None
        unkept = self.ended and (row.redacted or not row.body)
        return self.state in deeds.STATES[what] and not over and (what != "retry" or not unkept)

    @property
    def track(self) -> str:
        """A bar: how long it waited, was tried before, and ran."""
        begun, end = self.row.started_at, self.row.ended_at if self.ended else self.now
        called, due = self.called_at, self.due_at
        until = begun or end
        parts = [
            ((min(due, until) - called).total_seconds(), "later"),
            (max(0.0, (until - max(due, called)).total_seconds()), "wait"),
            ((end - begun).total_seconds() if begun else 0.0, f"run {self.state}"),
        ]
        label = "; ".join(f"{kind.split()[0]} {share:.3f} s" for share, kind in parts)
        return charts.track([(max(0.0, share), kind) for share, kind in parts], label)

    @property
    def limit(self) -> str:
        """What it is limited by, with others of the same key."""
        place = self.headers.get(queue.LIMIT)
        if not place:
            return ""
        key, at_once, rate, in_order = place
        words = ["one at a time, in order" if in_order else at_once and f"{at_once} at once"]
        words += [rate and f"{rate:g} a second"]
        return f"{key}: {', '.join(filter(None, words))}"

    @property
    def trace(self) -> str:
        """The id of its trace (`traceparent`); empty: it has none."""
        said = str(self.headers.get("traceparent") or "").split("-")
        return said[1] if len(said) == 4 else ""

    @property
    def unique(self) -> str:
        """The key that no other call may have, and until when."""
        if self.ended or self.row.unique_key is None:
            return ""
        key = self.row.unique_key
        name = "by its arguments" if key.startswith("arguments ") else key
        return f"{name}, until it {'has ended' if self.row.unique_running else 'begins'}"

    @property
    def progress(self) -> Progress | None:
        """How far its last attempt has said that it is."""
        told = Progress.objects.using(queue.alias()).filter(pk=self.row.task_id)
        return told.filter(row_id=self.row.pk, attempt=self.row.attempt).first()

    @property
    def arguments(self) -> str:
        """The arguments as JSON, for people."""
        return dumps({"args": self.args, "kwargs": self.kwargs}, indent=2, ensure_ascii=False,
                     default=str)  # fmt: skip

    @property
    def as_test(self) -> str:
        """A test that calls it so."""
        module, _, name = self.row.task.rpartition(".")
        words = [repr(value) for value in self.args]
        words += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return (
            f"from {module} import {name}\n\n\n"
            f"def test_{name}_as_it_was_called(db):\n"
            f"    {name}({', '.join(words)})\n"
        )

    @property
    def others(self) -> list[Entry]:
        """Its other lives: it was started again under the same id."""
        before, after = "replayed_by" in self.headers, self.ended and self.row.replayed_at
        if not (before or after):  # the most; it need not be looked for
            return []
        entries = Entry.objects.using(queue.alias()).filter(task_id=self.row.task_id)
        return list(entries.exclude(pk=self.row.pk).order_by("-ended_at")[:LIVES])

    @property
    def next_life(self) -> Task | None:
        """Its row, if it was started again and has not ended."""
        if not self.ended or self.row.replayed_at is None:
            return None
        rows = Task.objects.using(queue.alias()).filter(pk__gt=self.row.pk)
        return rows.filter(task_id=self.row.task_id).order_by("-pk").first()

    @property
    def log(self) -> list[tuple[int, str]]:
        """The attempts that have left log lines, each with these."""
        return [] if self.hidden else lines.of(self.row.pk)

    @property
    def origin(self) -> str:
        """The caller."""
        said = self.headers
        if name := said.get("periodic_task_name"):
            return f"the periodic task “{name}”"
        if said.get("celery_beat_task"):
            return "beat"
        if parent := said.get("parent_id"):
            return f"the task {parent}"
        if request := said.get("request_id"):
            return f"the request {request}"
        return str(said.get("origin") or "code")

    def _events(self) -> Iterator[tuple[datetime | None, str, str]]:
        row = self.row
        yield self.called_at, f"called by {self.origin}", "call"
        if (self.due_at - self.called_at).total_seconds() > 1 and not row.history:
            yield self.due_at, "due", "call"
        for line in row.history or []:
            worker = f" · {line['worker']}" if line.get("worker") else ""
            if line.get("since"):
                yield _moment(line["since"]), f"attempt {line['attempt']} began{worker}", "begin"
            kind = "again" if line["what"].startswith(("retry", "started again")) else "bad"
            yield _moment(line["at"]), line["what"], kind
        if row.started_at:
            where = row.host if self.ended else row.worker
            yield row.started_at, f"attempt {row.attempt} began · {where}", "begin"
        if self.ended:
            state = listing.STATE_OF.get(row.state, "done")
            says = "committed, with its effects and its result" if state == "done" else state
            yield row.ended_at, says, "good" if state == "done" else "bad"
            later = (row.discarded_at, "discarded"), (row.replayed_at, "started again")
            for at, says in sorted((at, says) for at, says in later if at):
                yield at, says, "again"
        elif self.state == "quarantined":
            yield row.quarantined_at, f"in quarantine: {row.error}", "bad"


def of(row_id: int, sees_arguments: bool) -> Life | None:
    """Return the life of the task with this row's id; ``None``: there is none."""
    row: Any = Task.objects.using(queue.alias()).filter(pk=row_id).first()
    row = row or Entry.objects.using(queue.alias()).filter(pk=row_id).first()
    return Life(row, sees_arguments=sees_arguments) if row is not None else None


def _with_pauses(events: Iterator[tuple[datetime | None, str, str]]) -> Iterator[Event]:
    before = None
    for at, says, kind in events:
        after = (at - before).total_seconds() if at and before else None
        yield Event(at, says, kind, after)
        before = at or before


def _call(row: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    args, kwargs, embed = loaded(row.body, ((), {}, {}))
    found = redaction.redact(row.task, args, kwargs, embed)
    return (found.args, found.kwargs, found.embed) if found else (list(args), kwargs, embed)


def loaded(text: str | None, otherwise: Any) -> Any:
    """Return what a JSON text holds, or *otherwise* if it can't be read."""
    try:
        return loads(text) if text else otherwise
    except Exception:
        return otherwise


def _moment(text: str) -> datetime | None:
    return parse_datetime(text)


def _follows(embed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what comes after it: of its chain, its callbacks, its chord."""
    for task in reversed(embed.get("chain") or []):
        yield "then", str(task.get("task"))
    for task in embed.get("callbacks") or []:
        yield "on success", str(task.get("task"))
    for task in embed.get("errbacks") or []:
        yield "on failure", str(task.get("task") if isinstance(task, dict) else task)
    if isinstance(chord := embed.get("chord"), dict):
        yield "once its chord is complete", str(chord.get("task"))
