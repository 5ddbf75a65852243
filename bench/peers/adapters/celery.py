"""Celery with two lists of settings: those of its page for Django, and cookiecutter-django's.

``celery -A bench.peers.adapters.celery worker``; which settings, DJANGO_SETTINGS_MODULE says. It
has no call for many.
"""

from __future__ import annotations

from celery import Celery

from bench.peers.tasks import TASKS

app = Celery("peers")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()


def call(task: str, label: int) -> None:
    """Send one message."""
    TASKS[task].delay(label)
