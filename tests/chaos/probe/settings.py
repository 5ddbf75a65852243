"""The project's settings and the probe; with ``CHAOS_BASELINE``, the documentation's instead.

The baseline is what "First steps with Django" and django-celery-results' and django-celery-beat's
pages show: their settings, and Celery's and Django's defaults for everything else.
"""

from __future__ import annotations

import os

from proj import settings as project

from .mode import BASELINE

globals().update({name: getattr(project, name) for name in dir(project) if name.isupper()})

INSTALLED_APPS = [*project.INSTALLED_APPS, "chaos_probe"]
if os.environ.get("CHAOS_BROKEN_MIGRATION") == "true":
    INSTALLED_APPS.append("chaos_probe.broken")
ROOT_URLCONF = "chaos_probe.urls"
UPLOAD_VIEWS = (*project.UPLOAD_VIEWS, "chaos-upload")
CELERY_BEAT_SCHEDULE = {
    f"chaos-every-{seconds}-s": {
        "task": "chaos_probe.tasks.tick",
        "schedule": float(seconds),
        "args": [seconds],
    }
    for seconds in (2, 20)
}

#: What the documentation sets, or what says only where something is.
DOCUMENTED = {
    "CELERY_BROKER_URL",
    "CELERY_TIMEZONE",
    "CELERY_TASK_ROUTES",
    "CELERY_BEAT_SCHEDULE",
    "CELERY_WORKER_CONCURRENCY",
}

if BASELINE:
    for _name in [name for name in globals() if name.startswith("CELERY_")]:
        if _name not in DOCUMENTED:
            del globals()[_name]
    CELERY_TASK_DEFAULT_QUEUE = "default"
    CELERY_TASK_TRACK_STARTED = True
    CELERY_TASK_TIME_LIMIT = 30 * 60
    CELERY_RESULT_BACKEND = "django-db"
    CELERY_RESULT_EXTENDED = True  # changes nothing but what can be looked up afterwards
    CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
    DATABASES = {
        "default": {
            name: value
            for name, value in project.DATABASES["default"].items()
            if name in {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT"}
        }
    }
