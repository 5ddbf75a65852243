"""A report on one uploaded file, and the chunks it is worked on in."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.shortcuts import get_object_or_404
from django.utils import timezone


class Report(models.Model):
    """One uploaded CSV file and, once workers have read it, its profile."""

    class State(models.TextChoices):
        UPLOADING = "uploading", "uploading"
        PROCESSING = "processing", "processing"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    #: Those whose file is still in the database.
    UNPROCESSED = (State.UPLOADING, State.PROCESSING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reports"
    )
    name = models.CharField("file name", max_length=255)
    size_bytes = models.PositiveBigIntegerField("size in bytes", default=0)
    sha256 = models.CharField("SHA-256 of the file", max_length=64, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    state = models.CharField(max_length=10, choices=State.choices, default=State.UPLOADING)
    delimiter = models.CharField(max_length=1, blank=True)
    columns = models.JSONField("names of the columns", default=list, blank=True)
    rows = models.PositiveBigIntegerField(default=0)
    chunks_total = models.PositiveIntegerField(default=0)
    chunks_done = models.PositiveIntegerField(default=0)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # The upload's last sign of life; see tasks.delete_old.
    active_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            # Without a key it is NULL, and NULLs are distinct.
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"], name="reports_report_idempotency"
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="reports_report_owner"),
            models.Index(fields=["created_at"], name="reports_report_created"),
            # What the sweep of abandoned uploads looks for, and rarely finds.
            models.Index(
                fields=["active_at"],
                name="reports_report_uploading",
                condition=models.Q(state="uploading"),
            ),
            # What waits for the workers in all (quota.py).
            models.Index(
                fields=["state"],
                name="reports_report_unprocessed",
                condition=models.Q(state__in=["uploading", "processing"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def progress(self) -> dict[str, int]:
        """Return how many chunks there are and how many of them are profiled."""
        return {"done": self.chunks_done, "total": self.chunks_total}

    @property
    def is_finished(self) -> bool:
        """Return whether nothing will change any more."""
        return self.state in {self.State.DONE, self.State.FAILED}


def reports_of(owner: User | AnonymousUser) -> models.QuerySet[Report]:
    """Return the reports of *owner*, newest first, without the results, which may be large."""
    return Report.objects.filter(owner_id=owner.pk).defer("result", "columns")


def report_of(owner: User | AnonymousUser, report_id: uuid.UUID) -> Report:
    """Return a report of *owner* with its result; whether another person has one isn't told."""
    return get_object_or_404(Report, owner_id=owner.pk, pk=report_id)


class Chunk(models.Model):
    """Complete records of a file, then the partial profile made of them.

    Chunks live only while their report is processed: the merge deletes them.
    """

    # The database deletes them with their report (the migration's foreign key), and Django loads
    # none of their data to do so.
    report = models.ForeignKey(
        Report, on_delete=models.DO_NOTHING, db_constraint=False, related_name="chunks"
    )
    number = models.PositiveIntegerField()
    # UTF-8, without the header; dropped when the partial profile is stored.
    data = models.BinaryField(null=True)
    # Parquet, as apps.reports.profile writes it; NULL until the chunk is profiled.
    partial = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["report", "number"], name="reports_chunk_number"),
        ]

    def __str__(self) -> str:
        return f"{self.report_id}, chunk {self.number}"
