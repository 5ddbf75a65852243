"""The two tables: tasks that are not finished, and the workers that are alive."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Task(models.Model):
    """A task that was called and is not finished. Its row is the task; the message is a hint.

    Written in the caller's transaction, deleted in the one that holds the task's own effects.
    """

    task_id = models.CharField(max_length=255)
    task = models.CharField("task's name", max_length=255)
    queue = models.CharField(max_length=255, blank=True)
    priority = models.SmallIntegerField(default=0)
    body = models.TextField(help_text="[args, kwargs, options] in kombu's JSON")
    created_at = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(null=True)

    # Sending. due_at is when the relay sends it; nothing to send while it is empty.
    due_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    sends = models.IntegerField(default=0, help_text="how often a message was sent for it")

    # Running. The number of the start is the fencing token: only the latest can finish the row.
    worker = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null is "nobody runs it"
    started_at = models.DateTimeField(null=True)
    starts = models.IntegerField(default=0)
    reported = models.IntegerField(default=0, help_text="the last start that ended by a report")

    # What became of it.
    quarantined_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")
    history = models.JSONField(default=list)

    class Meta:
        verbose_name = "task"
        # Every index holds only the rows that its query looks for: a long backlog costs nothing.
        indexes = [
            models.Index("due_at", name="outbox_due", condition=Q(due_at__isnull=False)),
            models.Index("worker", name="outbox_running", condition=Q(worker__isnull=False)),
            models.Index(
                "queue",
                "priority",
                "sent_at",
                name="outbox_waiting",
                condition=Q(due_at__isnull=True, worker__isnull=True, quarantined_at__isnull=True),
            ),
            models.Index("expires", name="outbox_expires", condition=Q(expires__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.task}[{self.task_id}]"


class Worker(models.Model):
    """A worker process that is alive, written by its heartbeat; gone when it stops."""

    id = models.CharField(primary_key=True, max_length=64)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    held = ArrayField(models.BigIntegerField(), help_text="rows whose messages it holds")
    lanes = models.JSONField(help_text="how far it has come in each queue: when that was sent")

    def __str__(self) -> str:
        return f"{self.hostname} ({self.pid})"
