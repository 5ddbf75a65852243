"""The schedules that the code declared last: a change in the admin is told from one in code."""

from __future__ import annotations

from django.db import models

from .declare import NAME_MAX_LENGTH


class DeclaredSchedule(models.Model):
    """A schedule as the code declared it when it was last synchronized: the base of the merge."""

    name = models.CharField(max_length=NAME_MAX_LENGTH, unique=True)
    declared = models.JSONField()

    class Meta:
        verbose_name = "schedule declared in code"
        verbose_name_plural = "schedules declared in code"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
