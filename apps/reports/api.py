"""The JSON API of reports. Everybody sees their own; for others' there is a 404."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Header, Query, Router, Status

from durable.accounts.api import Bearer
from durable.web.problems import problems

from .models import Report, report_of, reports_of
from .schemas import Accepted, ReportDetail, ReportPage
from .uploads import receive

router = Router(tags=["reports"], auth=Bearer())

#: Ninja would read the file into memory or a temporary file before the view runs; so the view
#: reads the request itself, and the body is described here.
_FILE = {"type": "string", "format": "binary", "description": "CSV in UTF-8 with a header line"}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _FILE}}
BODY = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
LOCATION = {"Location": {"description": "The same as `status_url`", "schema": {"type": "string"}}}
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="A text of your own: the same key and file get the report that is there.",
    ),
]


@router.post(
    "/reports",
    response={202: Accepted, **problems(400, 401, 403, 409, 413, 415, 422, 429, 503)},
    summary="Upload a CSV file",
    openapi_extra={"requestBody": BODY, "responses": {202: {"headers": LOCATION}}},
)
def create_report(
    request: HttpRequest, response: HttpResponse, idempotency_key: IdempotencyKey = None
) -> Status[Any]:
    """Take a file in and hand it to the workers. Ask `status_url` for what becomes of it.

    The body is read only after the token was found to be good, and never lies in memory whole.
    A file that can't be used is refused with a problem: `code` names what is wrong with it, `line`
    where it is.
    """
    with receive(request, idempotency_key) as incoming:
        report = incoming.finish()
    url = reverse("api:get_report", args=[report.pk])
    response["Location"] = url
    return Status(202, {"id": report.pk, "status_url": request.build_absolute_uri(url)})


@router.get(
    "/reports", response={200: ReportPage, **problems(401, 422)}, summary="List one's reports"
)
def list_reports(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> dict[str, Any]:
    """List one's reports, newest first, without their results."""
    reports = reports_of(request.user)
    return {"items": list(reports[offset : offset + limit]), "count": reports.count()}


@router.get(
    "/reports/{report_id}",
    response={200: ReportDetail, **problems(401, 404, 422)},
    url_name="get_report",
    summary="Get a report",
)
def get_report(request: HttpRequest, response: HttpResponse, report_id: UUID) -> Report:
    """Get a report: its `state`, its `progress`, and once it is `done` its `result`."""
    report = report_of(request.user, report_id)
    if not report.is_finished:
        response["Retry-After"] = "1"
    return report


@router.delete(
    "/reports/{report_id}",
    response={204: None, **problems(401, 404, 422)},
    summary="Delete a report",
)
def remove_report(request: HttpRequest, report_id: UUID) -> Status[None]:
    """Delete a report in whatever state it is; workers stop to work on it."""
    report_of(request.user, report_id).delete()
    return Status(204, None)
