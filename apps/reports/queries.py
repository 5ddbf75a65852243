"""Which reports a person may see: their own."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.http import Http404

from .models import Report


def reports_of(owner: User | AnonymousUser) -> QuerySet[Report]:
    """Return the reports of *owner*, newest first, without the results, which may be large."""
    return Report.objects.filter(owner_id=owner.pk).defer("result", "columns")


def report_of(owner: User | AnonymousUser, report_id: UUID) -> Report:
    """Return a report of *owner* with its result.

    :raises Http404: there is none; whether somebody else has one isn't told.
    """
    report = Report.objects.filter(owner_id=owner.pk, pk=report_id).first()
    if report is None:
        raise Http404("You have no report with this id.")
    return report
