"""Filters of the console's templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from durable.queue.overview import CAP

from .. import words

register = template.Library()


@register.filter
def duration(seconds: Any) -> str:
    """Return seconds as people say them."""
    return words.duration(None if seconds is None else float(seconds))


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return how long ago *moment* was, with the exact time to be looked at."""
    if moment is None:
        return "–"
    seconds = (timezone.now() - moment).total_seconds()
    text = f"{words.duration(seconds)} ago" if seconds >= 0 else f"in {words.duration(-seconds)}"
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', f"{moment:%FT%T%z}", text)


@register.filter
def exact(moment: datetime | None) -> SafeString | str:
    """Return *moment* to the millisecond."""
    if moment is None:
        return "–"
    text = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"
    return format_html('<time datetime="{}">{}</time>', f"{moment:%FT%T%z}", text)


@register.filter
def number(count: int) -> str:
    """Return a number; one that was not counted to its end has a plus."""
    return f"{CAP:,}+" if count >= CAP else f"{count:,}"


@register.filter
def size(bytes_: Any) -> str:
    """Return a number of bytes."""
    return words.size(float(bytes_ or 0))


@register.filter
def kib(number_of: Any) -> str:
    """Return a number of KiB."""
    return words.size(1024 * float(number_of)) if number_of else "–"


@register.simple_tag
def query(**values: Any) -> str:
    """Return a query string of the values that are not empty."""
    return "?" + urlencode({name: value for name, value in values.items() if value})
