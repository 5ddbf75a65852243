"""The tables: tasks that are not finished, calls that were seen, and the workers that are alive."""

from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .states import CONSTRAINT


class Task(models.Model):
    """A task that was called and is not finished: the row is the task.

    Written in the caller's transaction, deleted in the one that holds the task's own effects. Its
    states are in states.py, all statements on it in store/.
    """

    task_id = models.CharField(max_length=255)
    task = models.CharField("task's name", max_length=255)
    queue = models.CharField(max_length=255)
    priority = models.SmallIntegerField(default=0, help_text="the lowest number comes first")
    headers = models.TextField(help_text="of Celery's message, as JSON")
    body = models.TextField(help_text="[args, kwargs, embed] in kombu's JSON")
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="when it may be taken")
    expires = models.DateTimeField(null=True)

    worker = models.CharField(  # noqa: DJ001 - null is "free", and two indexes go by it
        max_length=64, null=True, help_text="holds it, or runs it"
    )
    started_at = models.DateTimeField(null=True, help_text="of the attempt that is under way")
    #: The number of the attempt is the fencing token: only the newest can end the row.
    attempt = models.IntegerField(default=0)
    clean_attempt = models.IntegerField(default=0, help_text="the last that ended in order")

    #: Of a call with a limit (limits.py): what counts together, and how many.
    key = models.CharField(  # noqa: DJ001 - null is "no limit", and two indexes go by it
        max_length=255, null=True
    )
    at_once = models.IntegerField(null=True)
    rate = models.FloatField(null=True, help_text="begins in a second")
    in_order = models.BooleanField(null=True)
    eligible_at = models.DateTimeField(
        null=True, help_text="when it may have a place of its key; null once it has one"
    )

    #: Of a call that is to be written once; ``store.insert_once()``.
    unique_key = models.CharField(  # noqa: DJ001 - null is "not unique", and an index goes by it
        max_length=255, null=True
    )
    unique_running = models.BooleanField(null=True, help_text="unique while it runs, too")

    quarantined_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")
    history = models.JSONField(default=list)

    class Meta:
        verbose_name = "task"
        constraints = [
            models.CheckConstraint(condition=CONSTRAINT, name="durable_task_one_state"),
            models.UniqueConstraint(
                fields=["task", "unique_key", "unique_running"],
                name="durable_task_once",
                condition=Q(unique_key__isnull=False),
            ),
        ]
        # Every index holds only the rows that its query looks for: a long backlog costs nothing.
        indexes = [
            models.Index(
                "queue",
                "priority",
                "due_at",
                name="durable_task_free",
                condition=Q(worker__isnull=True, quarantined_at__isnull=True),
            ),
            models.Index(
                "queue",
                "key",
                "priority",
                "eligible_at",
                "id",
                name="durable_task_limited",
                condition=Q(eligible_at__isnull=False, quarantined_at__isnull=True),
            ),
            models.Index(
                "key",
                name="durable_task_places",
                condition=Q(
                    key__isnull=False, eligible_at__isnull=True, quarantined_at__isnull=True
                ),
            ),
            # The only one of all rows: results, progress and revoke() ask by Celery's id.
            HashIndex("task_id", name="durable_task_task_id"),
            models.Index("worker", name="durable_task_worker", condition=Q(worker__isnull=False)),
            models.Index(
                "expires", name="durable_task_expires", condition=Q(expires__isnull=False)
            ),
            models.Index(
                "quarantined_at",
                name="durable_task_quarantined",
                condition=Q(quarantined_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task}[{self.task_id}]"

    @property
    def wanted_at(self) -> datetime:
        """When it is to run, as it was called."""
        return self.eligible_at or self.due_at


class Seen(models.Model):
    """A call that is not to be written again until a time, whatever has become of it."""

    task = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    task_id = models.CharField(max_length=255)
    until = models.DateTimeField()

    class Meta:
        db_table = "durable_seen"
        constraints = [models.UniqueConstraint(fields=["task", "key"], name="durable_seen_once")]
        indexes = [models.Index("until", name="durable_seen_until")]

    def __str__(self) -> str:
        return f"{self.task} {self.key}"


class Pace(models.Model):
    """How far a key with a rate has come: what was not begun since then may begin now."""

    key = models.CharField(primary_key=True, max_length=255)
    since_at = models.DateTimeField()

    class Meta:
        db_table = "durable_pace"
        indexes = [models.Index("since_at", name="durable_pace_since_at")]

    def __str__(self) -> str:
        return self.key


class Progress(models.Model):
    """How far a task is, as it has last said."""

    task_id = models.CharField(primary_key=True, max_length=255)
    row_id = models.BigIntegerField(null=True)
    attempt = models.IntegerField()
    done = models.FloatField()
    total = models.FloatField(null=True)
    message = models.TextField()
    at = models.DateTimeField()

    class Meta:
        db_table = "durable_progress"
        indexes = [models.Index("at", name="durable_progress_at")]

    def __str__(self) -> str:
        return f"{self.task_id} {self.done}"


class Pause(models.Model):
    """A queue, or a task, of which no worker takes rows until it is resumed."""

    kind = models.CharField(max_length=5, choices=[("queue", "queue"), ("task", "task")])
    name = models.CharField(max_length=255)
    since = models.DateTimeField(db_default=Now())
    who = models.CharField(max_length=150)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="durable_pause_one_each")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Worker(models.Model):
    """A worker that is alive, written by its signs of life; gone when it stops."""

    id = models.CharField(primary_key=True, max_length=64)
    hostname = models.CharField(max_length=255)
    pid = models.IntegerField()
    slots = models.IntegerField(help_text="tasks that it runs at the same time")
    queues = models.TextField(db_default="", help_text="that it takes from, with commas")
    version = models.TextField(db_default="", help_text="of the project that it runs")
    memory = models.IntegerField(db_default=0, help_text="KiB, of all its processes now")
    tasks = ArrayField(models.TextField(), default=list, help_text="that it knows")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    #: What people want of it: it learns that by its next sign of life.
    stop_by = models.TextField(db_default="", help_text="who wants it to stop")
    cancelled = ArrayField(models.BigIntegerField(), default=list, help_text="ids of its rows")

    def __str__(self) -> str:
        return f"{self.hostname} ({self.pid})"
