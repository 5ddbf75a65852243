"""Django's settings for the peers: as few as each asks for, with connections that are kept."""

from __future__ import annotations

import os

from bench.documented_settings import DATABASES as DATABASES
from bench.documented_settings import DEFAULT_AUTO_FIELD as DEFAULT_AUTO_FIELD
from bench.documented_settings import SECRET_KEY as SECRET_KEY
from bench.documented_settings import USE_TZ as USE_TZ

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django_tasks",
    "django_tasks_db",
    "procrastinate.contrib.django",
    "huey.contrib.djhuey",
    "bench.peers.adapters",
]
# Longer than Django's default: without it, several of them would connect anew for each task.
DATABASES["default"]["CONN_MAX_AGE"] = 60

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
HUEY = {
    "name": "bench",
    "connection": {"url": os.environ["CELERY_BROKER_URL"]},
    "consumer": {"workers": 2, "worker_type": "process"},
}
PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "procrastinate"  # of bench.peers.adapters
