"""The requests of all processes of web together, as they add them up."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Requests(models.Model):
    """The requests of one route that ended with one status."""

    route = models.TextField()
    status = models.SmallIntegerField()
    count = models.BigIntegerField()
    seconds = models.FloatField()
    #: How many within each of requests.BOUNDS, and beyond.
    buckets = ArrayField(models.BigIntegerField())
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "requests"
        constraints = [
            models.UniqueConstraint(fields=["route", "status"], name="durable_requests_one_each")
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.status}"
