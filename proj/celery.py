"""The Celery application, as "First steps with Django" in Celery's documentation has it."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, task_prerun, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

# A base class of one's own replaces the DjangoTask that Celery's Django fixup would set, and with
# it delay_on_commit(): proj.task.Task therefore derives from it.
app = Celery("proj", task_cls="proj.task:Task")

# Every Celery setting is a Django setting with the prefix CELERY_.
app.config_from_object("django.conf:settings", namespace="CELERY")

# Finds tasks.py in every installed app.
app.autodiscover_tasks()

# Tells docker/healthcheck whether a worker really takes tasks.
app.steps["consumer"].add("durable.health.consumer:Heartbeat")


# What these import reads Django's settings, so not above.


@celeryd_init.connect
def _take_from_the_projects_queues(options: dict[str, Any], **kwargs: Any) -> None:
    # The role says -Q. A worker that is typed without it would take from the default queue alone.
    from .environment import env

    if not options.get("queues") and not app.conf.task_queues:
        app.amqp.queues.select(env.names("WORKER_QUEUES", []))


@task_prerun.connect
def _make_links_below_the_sites_path(**kwargs: Any) -> None:
    # Django knows the path in its main thread and in a request's, and in none of a pool's.
    from django.conf import settings
    from django.urls import set_script_prefix

    if settings.SITE_PATH:
        set_script_prefix(settings.SITE_PATH)


@worker_init.connect
@beat_init.connect
def _check_before_start(**kwargs: Any) -> None:
    from durable.checks.start import check_before_start

    check_before_start()


@app.task(bind=True, ignore_result=True)
def debug_task(self: Any) -> None:
    """Print the task's own request."""
    print(f"Request: {self.request!r}")
