"""The parts of a chord that have been counted."""

from __future__ import annotations

from django.db import models
from django_celery_results.models import ChordCounter


class ChordPart(models.Model):
    """A task of a chord's header that has been counted; it goes with the chord's counter.

    Upstream only keeps how many are missing, so that a task which is delivered twice counts twice.
    """

    # The migration makes the constraint, for PostgreSQL to delete the parts together with their
    # counter, however that is deleted.
    counter = models.ForeignKey(
        ChordCounter, models.DO_NOTHING, db_constraint=False, related_name="parts"
    )
    task_id = models.CharField(max_length=255)
    #: Its place in the header, where the results are put in order by it (see ``chords.close()``).
    position = models.IntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["counter", "task_id"], name="results_part_counts_once")
        ]

    def __str__(self) -> str:
        return self.task_id
