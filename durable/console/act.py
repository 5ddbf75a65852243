"""The forms of the console: what a person confirms, and what is done then."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu.utils.json import loads

from durable.queue import conf as queue
from durable.queue import store
from durable.queue.caller.calls import durable
from durable.queue.endings import actions

from . import conf, deeds, filters, listing
from .access import PERMISSIONS, Viewer, page
from .models import Deed

#: How a deed on many is announced: to rows, and to those that have ended.
SENTENCES = {
    "retry": ("will go on from the quarantine, with all their attempts before them",
              "will be started again, each exactly once"),
    "discard": ("will end for good, without running",
                "will leave the list of failures; they stay in the journal until they are old"),
    "cancel": ("will be ended while they run, and can't commit any more", ""),
}  # fmt: skip


@page
@require_GET
def confirm(request: HttpRequest, viewer: Viewer, what: str) -> HttpResponse:
    """Say what will happen to how many, before anything does."""
    if what not in deeds.STATES:
        raise Http404
    text = request.GET.get("q", "")
    context: dict[str, Any] = {"viewer": viewer, "what": what, "word": deeds.WORDS[what], "q": text}
    try:
        asked = filters.parse(text, sees_arguments=viewer.sees_arguments)
        *found, more = deeds.count(what, asked)
    except filters.FilterError as error:
        return render(request, "console/confirm.html", {**context, "wrong": str(error)})
    context |= {"found": sum(found), "more": more, "may": viewer.may(what)}
    context["scan"] = f"{conf.SCAN:,}"
    context["counts"] = [one for one in zip(found, SENTENCES[what], strict=True) if one[0]]
    context["lines"] = listing.page(deeds.concerned(what, asked), size=5).lines
    return render(request, "console/confirm.html", context)


@page
@require_POST
def do(request: HttpRequest, viewer: Viewer, what: str) -> HttpResponse:
    """Do what was confirmed."""
    if what not in PERMISSIONS:
        raise Http404
    if not viewer.may(what):
        raise PermissionDenied(f"OPS_READ_ONLY, or not permitted: {what}")
    given = request.POST
    try:
        filters.parse(given.get("q", ""), sees_arguments=viewer.sees_arguments)
        says = _do(what, viewer.name, given)
    except filters.FilterError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, says)
    to = given.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, {request.get_host()}, request.is_secure())
    return redirect(to if safe else "console:audit")


def _do(what: str, who: str, given: Any) -> str:
    if what in ("pause", "resume"):
        kind: actions.Kind = "task" if "task" in given else "queue"
        changed = deeds.pause(what, who, kind, given[kind])
        return f"{given[kind]} is {what}d{'' if changed else ' already'}."
    if what == "stop":
        return _stop(who, given["worker"])
    if what in ("run", "enable", "disable"):
        return _schedule(what, who, given["schedule"])
    if what not in deeds.STATES:
        raise Http404
    if "q" in given:
        deeds.of_many(what, who, given["q"], int(given.get("found") or 0))
        return f"{deeds.WORDS[what]}: a task works it off; its progress is below."
    ended = "ended" in given
    deed = deeds.of_one(what, who, given.get("task", "")[:300], int(given["id"]), ended)
    if deed.done:
        return {
            "retry": "The task is started again.",
            "discard": "The failure is discarded." if ended else "The task is discarded.",
            "cancel": "The task is cancelled: it can't commit any more.",
        }[what]  # fmt: skip
    return deed.note or "Nothing was changed: the task is further by now."


def _stop(who: str, worker: str) -> str:
    with transaction.atomic(using=queue.alias()):
        if not store.order_stop(worker, who):
            return f"{worker} is gone, or was told to stop before."
        deeds.note("stop", who, worker)
    return f"{worker} stops with its next sign of life; its supervisor starts another one."


def _schedule(what: str, who: str, name: str) -> str:
    model = get_object_or_404(PeriodicTask, name=name)
    with transaction.atomic(using=queue.alias()):
        if what == "run":
            with durable():
                task, args, kwargs, options = _call_of(model)
                task.apply_async(args=args, kwargs=kwargs, **options)
        else:
            model.enabled = what == "enable"
            model.save(update_fields=["enabled"])
            PeriodicTasks.update_changed()
        deeds.note(what, who, name)
    return f"{name}: {'called once' if what == 'run' else f'{what}d'}."


def _call_of(model: PeriodicTask) -> tuple[Any, Any, Any, dict[str, Any]]:
    current_app.loader.import_default_modules()
    task = current_app.tasks.get(model.task)
    if task is None:
        raise filters.FilterError(f"{model.task} is not known here")
    options: dict[str, Any] = {"headers": {"periodic_task_name": model.name}}
    if model.queue:
        options["queue"] = model.queue
    return task, loads(model.args), loads(model.kwargs), options


@page
@require_POST
def stop_deed(request: HttpRequest, viewer: Viewer, deed_id: int) -> HttpResponse:
    """Stop a deed on many where it is, by a person who may do such a one."""
    if not viewer.may(get_object_or_404(Deed.objects.using(queue.alias()), pk=deed_id).what):
        raise PermissionDenied
    if deeds.cancel(deed_id, viewer.name):
        messages.success(request, "It stops where it is; what was done stays.")
    return redirect("console:audit")
