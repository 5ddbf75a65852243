"""The audit log in the admin, to read."""

from __future__ import annotations

from django.contrib import admin

from durable.database.admin import ReadOnlyAdmin

from .models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Nothing here writes a line, changes one or deletes one."""

    list_display = ("at", "event", "account", "actor", "address", "about")
    list_display_links = None
    search_fields = ("=account", "=address", "=event")
    search_help_text = "an account's name, an address or an event, as it stands there"
