"""Filters for the templates of this app."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.timesince import timesince

from apps.reports import formats

register = template.Library()
register.filter("number", formats.count)


@register.filter
def ago(moment: datetime) -> str:
    """Return how long ago *moment* was, in its largest unit."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"
