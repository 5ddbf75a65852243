"""One table: what people did, to what, and how far it is."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Deed(models.Model):
    """A person's deed: written in the transaction of the deed, or worked off by a durable task.

    A deed on many acts on what its filter found when it was confirmed, each exactly once: the
    cursor moves in the transaction of the change.
    """

    at = models.DateTimeField(db_default=Now())
    who = models.CharField(max_length=150)
    what = models.CharField(max_length=20)
    target = models.TextField(help_text="a filter, a task, a queue")
    found = models.IntegerField(help_text="when it was confirmed")
    done = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0)
    #: Ids up to here are dealt with.
    cursor = models.BigIntegerField(default=0)
    cancelled_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    note = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        permissions = [
            ("view_console", "Can see the console"),
            ("view_arguments", "Can see arguments and results in the console"),
            ("retry", "Can start tasks again"),
            ("discard", "Can discard tasks"),
            ("cancel", "Can cancel running tasks"),
            ("pause", "Can pause and resume queues"),
            ("schedule", "Can run, enable and disable periodic tasks"),
            ("stop_worker", "Can stop workers"),
        ]

    def __str__(self) -> str:
        return f"{self.who}: {self.what} {self.target}"
