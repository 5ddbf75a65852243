"""The pages of the console; each is bounded, whatever the tables hold."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET
from django_celery_beat.models import PeriodicTask

from durable.backups.models import Backup
from durable.database.asked import Asked
from durable.doctor.examine import examine
from durable.doctor.line import Line
from durable.journal import minutes, periodic
from durable.queue import conf as queue
from durable.queue import overview
from durable.schedules.entry import Entry as Periodic
from durable.schedules.models import DeclaredSchedule

from . import charts, diagnosis, filters, groups, life, listing, parts, tree
from .access import Viewer, page
from .models import Deed
from .snapshot import Snapshot, keeper


def _render(
    request: HttpRequest, name: str, viewer: Viewer, status: int = 200, **context: Any
) -> HttpResponse:
    """Render a page, or only its living part if htmx asks for that."""
    part = "HX-Request" in request.headers
    context |= {"viewer": viewer, "page": name, "part": part}
    base = "console/part.html" if part else "console/base.html"
    return render(request, f"console/{name}.html", {**context, "base": base}, status=status)


@page
@require_GET
def now(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show what is wrong, and how each part does."""
    snapshot, error = keeper.read()
    return _now(request, viewer, snapshot, error)


def away(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show the last that this process knows, while PostgreSQL is away."""
    snapshot, error = keeper.read()
    return _now(request, viewer, snapshot, error or "it does not answer", status=503)


def _now(
    request: HttpRequest,
    viewer: Viewer,
    snapshot: Snapshot | None,
    error: str,
    status: int = 200,
) -> HttpResponse:
    found = diagnosis.findings(snapshot) if snapshot else []
    if error:
        # The driver's text names a host and a user: it is for the log.
        says = "PostgreSQL does not answer: no durable task is called, runs or ends until it does."
        do = "Bring it back; nothing has to be repaired. What is below is the last that was known."
        found = [diagnosis.Finding("bad", says, do), *found]
    lines = []
    for one in snapshot.queues if snapshot else ():
        label = f"{one.name}: {sum(one.ends)} ended in the last hour, {sum(one.failures)} failed"
        marks = snapshot.marks if snapshot else ()
        lines.append((one, charts.hour(one.ends, one.failures, marks, label)))
    return _render(
        request, "now", viewer, status, snapshot=snapshot, away=bool(error), findings=found,
        calm=diagnosis.calm(snapshot) if snapshot else "", lines=lines,
        parts=parts.parts(snapshot, bool(error)) if snapshot else [],
    )  # fmt: skip


@page
@require_GET
def tasks(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show rows and the journal as one list."""
    text, before = request.GET.get("q", "").strip(), request.GET.get("before", "")
    context: dict[str, Any] = {"q": text, "before": before, "words": filters.WORDS}
    context["states"] = [*listing.every_state()]
    try:
        asked = filters.parse(text, sees_arguments=viewer.sees_arguments)
        place = int(before) if before.isdecimal() and len(before) < 19 else None
        context["found"] = listing.page(asked, place)
        context["asked"] = asked
    except filters.FilterError as error:
        context["wrong"] = str(error)
    return _render(request, "tasks", viewer, **context)


@page
@require_GET
def task(request: HttpRequest, viewer: Viewer, row_id: int) -> HttpResponse:
    """Show the life of one task."""
    found = life.of(row_id, viewer.sees_arguments)
    if found is None:
        text = "There is no such task: it was called elsewhere, or ended too long ago."
        return _render(request, "missing", viewer, 404, says=text)
    can = [what for what in ("retry", "discard", "cancel") if found.can(what) and viewer.may(what)]
    nodes = tree.of(found)
    drawing = charts.tree(nodes, found.row.task_id) if nodes else ""
    return _render(request, "task", viewer, life=found, can=can, drawing=drawing)


@page
@require_GET
def failures(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show failures by task, exception and place."""
    return _render(
        request, "failures", viewer, groups=groups.failures(), most=groups.MOST,
        quarantined=groups.quarantined(),
    )  # fmt: skip


@page
@require_GET
def queues(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show what waits in each queue, and pause or resume it."""
    snapshot, error = keeper.read()
    lines = []
    paused = overview.paused()
    for one in snapshot.queues if snapshot else ():
        label = f"{one.name}: ends of the last hour"
        chart = charts.hour(one.ends, one.failures, snapshot.marks if snapshot else (), label)
        lines.append((one, chart, paused.get(one.name), overview.ages(one.name)))
    return _render(
        request, "queues", viewer, lines=lines, tasks=overview.paused("task"),
        bounds=overview.AGES, away=bool(error), keys=overview.keys(), most_keys=overview.KEYS,
        key_cap=overview.KEY_CAP,
    )  # fmt: skip


@page
@require_GET
def workers(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show the workers, and what each runs."""
    everyone, running = overview.workers(), overview.running()
    lines = [
        (one, [task for task in running if task.worker.partition("#")[0] == one.id])
        for one in everyone
    ]
    return _render(request, "workers", viewer, lines=lines, now=timezone.now())


@page
@require_GET
def schedules(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show the periodic tasks: the last and the next run of each."""
    lines = []
    related = ("interval", "crontab", "solar", "clocked")
    models = list(PeriodicTask.objects.select_related(*related).order_by("name")[:500])
    ended = periodic.outcomes([model.name for model in models])
    declared = set(DeclaredSchedule.objects.values_list("name", flat=True))
    now = timezone.now()
    for model in models:
        try:
            late: float | None = Periodic(model).missed_by() if model.enabled else None
            wrong = ""
        except Exception as error:
            late, wrong = None, str(error)
        following = None if late is None else now - timedelta(seconds=late)
        when = model.scheduler if model.scheduler else ""
        origin = "code" if model.name in declared else "the admin"
        lines.append(
            (model, when, origin, following, late, wrong, *_runs(ended[model.name]))
        )  # fmt: skip
    return _render(request, "schedules", viewer, lines=lines)


def _runs(ended: list[periodic.Outcome]) -> tuple[Any, list[periodic.Outcome]]:
    """Return the last runs as a picture, and the newest that were not done."""
    if not ended:
        return "", []
    kinds = [
        "missed" if one.says.startswith(periodic.MISSED)
        else listing.STATE_OF.get(one.state, "done")
        for one in ended
    ]  # fmt: skip
    counts = ", ".join(f"{number} {kind}" for kind, number in Counter(kinds).items())
    label = f"The last {len(kinds)} runs: {counts}"
    not_done = [one for one, kind in zip(ended, kinds, strict=True) if kind != "done"]
    return charts.outcomes(kinds, label), not_done[:2]


@page
@require_GET
def names(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show each task's ends, waits, runs, failures and memory of the last hours."""
    hours = {"1": 1, "24": 24, "168": 168}.get(request.GET.get("hours", ""), 24)
    now = timezone.now()
    since = now - timedelta(hours=hours)
    lines, paused = minutes.by_task(since), overview.paused("task")
    ends, marks = minutes.ends(since, now), minutes.releases(since, now)
    for one in lines:
        histograms = (one["waits"], one["runs"])
        one["paused"] = one["name"] in paused
        label = f"{one['name']}: ends of the time, {one['failed']} failed"
        one["chart"] = charts.hour(*ends[one["name"]], marks, label) if one["name"] in ends else ""
        one["quantiles"] = [minutes.quantile(all_, p) for all_ in histograms for p in (0.5, 0.95)]
    return _render(request, "names", viewer, lines=lines, hours=hours)


@page
@require_GET
def backups(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show the dumps, and which of them are proven."""
    return _render(request, "backups", viewer, lines=Backup.objects.all()[:100])


def _examine() -> tuple[list[Line], datetime]:
    # The worst first; within a level as the doctor has them.
    return sorted(examine(), key=lambda line: -line.level), timezone.now()


#: Seconds that the table of the checks is shown, and that a page waits for a new one.
CHECKS_KEEP, CHECKS_PATIENCE = 30.0, 0.1
_examined = Asked(_examine, CHECKS_KEEP, CHECKS_PATIENCE)


@page
@require_GET
def checks(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show the doctor's table, as it was a moment ago."""
    answer, _ = _examined.read()
    lines, at = answer or ([], None)
    return _render(request, "checks", viewer, lines=lines, at=at, keep=CHECKS_KEEP)


@page
@require_GET
def audit(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Show who did what."""
    lines = Deed.objects.using(queue.alias()).all()[:100]
    busy = any(one.finished_at is None and one.cancelled_at is None for one in lines)
    return _render(request, "audit", viewer, lines=lines, busy=busy)
