"""One table: the tokens that the API gave out."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


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
