"""How far a task is, for a page: as a stream of events, or as JSON."""

from __future__ import annotations

from django.core.signing import BadSignature
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from . import events, progress


@never_cache
@require_safe
def task_events(request: HttpRequest, token: str) -> HttpResponseBase:
    """Tell how far the task of *token* is, to those whose page was given it."""
    try:
        task_id = progress.task_id_of(token)
    except BadSignature:
        raise Http404("There is no such task.") from None
    return events.answer(
        request, lambda: progress.look(task_id)._asdict(), progress.look(task_id)._asdict()
    )
