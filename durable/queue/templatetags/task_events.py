"""Shows how far a task is, while it runs::

{% load task_events %}
{% task_progress task_id %}
"""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from durable.queue import progress

register = template.Library()


@register.inclusion_tag("durable/task_progress.html")
def task_progress(task_id: Any) -> dict[str, Any]:
    """Show a bar that follows the task."""
    url = reverse("durable:task_events", args=[progress.token(str(task_id))])
    return {"url": url, "event": progress.look(str(task_id))}
