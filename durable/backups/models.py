"""The dumps that exist, the tries that failed, and the rows that prove the archive."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Backup(models.Model):
    """A dump of the database, and whether it was ever restored.

    No row is written from here: deploy/backup runs where PostgreSQL's programs are and Django is
    not, and writes by SQL (record.sql). Hence the defaults are the database's own.
    """

    file = models.CharField(max_length=255, unique=True)
    started_at = models.DateTimeField("started", db_default=Now())
    dumped_at = models.DateTimeField(
        "dumped", null=True, help_text="the moment that the dump shows; none if it failed"
    )
    proven_at = models.DateTimeField(
        "proven",
        null=True,
        help_text="when it was restored, and every table had the rows that it has in the dump",
    )
    stored_at = models.DateTimeField(
        "stored", null=True, help_text="when it had left the machine (BACKUP_STORE_URL)"
    )
    bytes = models.BigIntegerField(null=True)
    tables = models.IntegerField(null=True)
    rows = models.BigIntegerField(null=True)
    dump_seconds = models.IntegerField("seconds to dump", null=True)
    proof_seconds = models.IntegerField("seconds to prove", null=True)
    failed_at = models.DateTimeField("failed", null=True)
    error = models.TextField(
        db_default="", blank=True, help_text="what went wrong the last time, if it did"
    )

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return self.file


class Moment(models.Model):
    """A minute in which the archive was written; its drill looks for these rows in a restored one.

    Written by deploy/backup/archive.sh.
    """

    at = models.DateTimeField(primary_key=True, db_default=Now())

    def __str__(self) -> str:
        return self.at.isoformat()
