"""The Celery application of "First steps with Django", with that page's settings and no others.

What the page doesn't set has Celery's and Django's defaults: a message is acknowledged before its
task, four are fetched ahead, and each task opens a connection to PostgreSQL of its own. Used as
``celery -A bench.documented worker``.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.documented_settings"

app = Celery("documented", include=["bench.effects"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
