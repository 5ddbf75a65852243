"""When the canary of each queue was called, and when it came to its end."""

from __future__ import annotations

from django.db import models


class Canary(models.Model):
    """The newest canary of a queue."""

    queue = models.TextField(primary_key=True)
    called_at = models.DateTimeField()
    #: Later than that if its row was lost, as by a person who discarded it.
    sent_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return self.queue
