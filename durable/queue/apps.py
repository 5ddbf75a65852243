"""The app's place in Django, and in Celery."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class QueueConfig(AppConfig):
    """Durable tasks: rows in PostgreSQL, run by Celery's workers."""

    name = "durable.queue"
    label = "durable"
    verbose_name = "Durable tasks"

    def ready(self) -> None:
        from celery import Celery, current_app
        from celery.signals import beat_init, celeryd_init

        from . import checks  # noqa: F401 - it registers itself
        from .worker import receivers  # noqa: F401 - they too

        # Before its first use: revoke() ends the rows that wait.
        if current_app.control_cls == Celery.control_cls:
            current_app.control_cls = "durable.queue.endings.actions:Control"
        celeryd_init.connect(_serve_rows)
        beat_init.connect(_start_janitor)


def _serve_rows(instance: Any, **kwargs: Any) -> None:
    """Add to a worker what takes rows, stops it in order, and ends what a person terminates."""
    from .worker import remote  # noqa: F401 - it registers its commands

    instance.app.steps["worker"].update(
        {
            "durable.queue.worker.rows:Rows",
            "durable.stopping.step:OrderlyStop",
            "durable.stopping.terminate:Terminate",
        }
    )


def _start_janitor(**kwargs: Any) -> None:
    from .endings.janitor import Janitor

    Janitor().start()
