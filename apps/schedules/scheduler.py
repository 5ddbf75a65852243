"""The beat role's scheduler."""

from __future__ import annotations

from django_celery_beat.schedulers import DatabaseScheduler as UpstreamScheduler


class DatabaseScheduler(UpstreamScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler."""
