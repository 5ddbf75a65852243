"""One table: the audit log."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """A log-in, a failure, a changed password, a deed in the admin: who, from where, when.

    Names are texts, so that a line outlives its account.
    """

    at = models.DateTimeField(db_default=Now(), db_index=True)
    event = models.CharField(max_length=40)
    account = models.CharField(
        max_length=150, blank=True, db_index=True, help_text="empty: there is no such account"
    )
    actor = models.CharField(
        max_length=150, blank=True, help_text="who did it, if it wasn't the account's own"
    )
    address = models.CharField(max_length=45, blank=True)
    about = models.CharField(max_length=500, blank=True)
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "audit event"

    def __str__(self) -> str:
        return f"{self.event} {self.account}"
