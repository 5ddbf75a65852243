"""The tables: entries of ended tasks, counts of each minute and in total, and the versions."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Entry(models.Model):
    """A task that has ended.

    The table is made by SQL (the migration says how), and written by entry.py alone.
    """

    #: Of the task's row: the order of the calls. One that is started again keeps its ``task_id``.
    id = models.BigIntegerField(primary_key=True)
    slot = models.SmallIntegerField()
    ended_at = models.DateTimeField()
    task_id = models.TextField()
    task = models.TextField()
    queue = models.TextField()
    priority = models.SmallIntegerField()
    state = models.TextField(help_text="Celery's, or DISCARDED")
    called_at = models.DateTimeField()
    due_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, help_text="of the last attempt")
    attempt = models.IntegerField(help_text="how many there were")
    history = models.JSONField(null=True, help_text="the attempts before the last")
    headers = models.TextField()
    body = models.TextField(null=True)  # noqa: DJ001 - null is "not kept", which no text is
    redacted = models.BooleanField()
    result = models.TextField(null=True)  # noqa: DJ001 - null is "none stored"
    error = models.TextField(null=True, help_text="the exception's class")  # noqa: DJ001
    place = models.TextField(null=True, help_text="file, line and function")  # noqa: DJ001
    traceback = models.TextField(null=True)  # noqa: DJ001
    host = models.TextField(help_text="the worker, or the process that ended it")
    version = models.TextField()
    memory = models.IntegerField(null=True, help_text="KiB, the most of its process so far")
    replayed_at = models.DateTimeField(null=True)
    discarded_at = models.DateTimeField(null=True, help_text="a failure that a person has seen to")

    class Meta:
        managed = False
        db_table = "durable_journal"
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.task}[{self.task_id}] {self.state}"


class Minute(models.Model):
    """The sums of a minute, of one task in one queue.

    ``waits`` and ``runs`` are histograms: how many within each of minutes.BOUNDS, and beyond.
    """

    minute = models.DateTimeField()
    task = models.TextField()
    queue = models.TextField()
    done = models.IntegerField()
    failed = models.IntegerField()
    revoked = models.IntegerField()
    retried = models.IntegerField(help_text="attempts that asked for another one")
    died = models.IntegerField(help_text="attempts that ended without a word")
    waited = models.FloatField(help_text="seconds from due to begun, of all together")
    ran = models.FloatField(help_text="seconds of the last attempts, of all together")
    waits = ArrayField(models.IntegerField())
    runs = ArrayField(models.IntegerField())
    memory = models.IntegerField(null=True, help_text="KiB, the most of a process")
    settled = models.BooleanField(db_default=False, help_text="is in the totals")

    class Meta:
        db_table = "durable_minute"
        constraints = [
            models.UniqueConstraint(
                fields=["minute", "task", "queue"], name="durable_minute_one_each"
            )
        ]
        indexes = [
            models.Index(
                "minute", name="durable_minute_unsettled", condition=models.Q(settled=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%F %H:%M} {self.task} {self.queue}"


class Total(models.Model):
    """The sums of one task in one queue since the beginning: the counters of `/metrics`."""

    task = models.TextField()
    queue = models.TextField()
    done = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    revoked = models.BigIntegerField(default=0)
    retried = models.BigIntegerField(default=0)
    died = models.BigIntegerField(default=0)
    waited = models.FloatField(default=0)
    ran = models.FloatField(default=0)
    waits = ArrayField(models.BigIntegerField(), default=list)
    runs = ArrayField(models.BigIntegerField(), default=list)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "durable_total"
        constraints = [
            models.UniqueConstraint(fields=["task", "queue"], name="durable_total_one_each")
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.queue}"


class Release(models.Model):
    """A version that ended tasks, from its first one to its last one."""

    version = models.TextField()
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        db_table = "durable_release"

    def __str__(self) -> str:
        return f"{self.version} since {self.since:%F %H:%M}"
