"""The task that does nothing but to write down that it ran."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from .models import Canary


@shared_task(ignore_result=True, journal=False)
def sing(queue: str, called_at: str) -> None:
    """Write down that the canary of *queue* has come to its end, unless a later one was called."""
    Canary.objects.filter(queue=queue, called_at=called_at).update(done_at=timezone.now())
