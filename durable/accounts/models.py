"""The audit log, and the tokens that the API gave out."""

from __future__ import annotations

from django.conf import settings
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


class Token(models.Model):
    """A token that is good: it is listed, and deleting the row revokes it.

    Nothing of the token stands here; it is the signed number of this row (tokens.py).
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    created_at = models.DateTimeField(db_default=Now())
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.pk} of {self.user_id}"
