"""The alerts that hold, and what was measured before; written by the leading beat alone."""

from __future__ import annotations

from django.db import models


class Alert(models.Model):
    """A condition that holds, from its first minute until those who were told know it is over."""

    rule = models.TextField()
    labels = models.JSONField()
    value = models.FloatField()
    since = models.DateTimeField()
    fired_at = models.DateTimeField(null=True, help_text="it held for as long as the rule wants")
    calm_since = models.DateTimeField(null=True, help_text="it has fired, and holds no more")
    #: By channel: the last status that was said by it, and when.
    told = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "labels"], name="durable_alert_one_each")
        ]

    def __str__(self) -> str:
        return " ".join([self.rule, *map(str, self.labels.values())])


class Sample(models.Model):
    """Counters at one moment: for the rules that compare."""

    at = models.DateTimeField(primary_key=True)
    values = models.JSONField()

    def __str__(self) -> str:
        return self.at.isoformat()
