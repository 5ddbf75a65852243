"""Django's own API for tasks, ``django.tasks``, over the rows of the queue (docs/tasks.md)::

    TASKS = {"default": {"BACKEND": "durable.django_tasks.Backend"}}

Of Django 5.2, by the backport django-tasks.
"""

from .backend import Backend

__all__ = ["Backend"]
