"""The backups in the admin, to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .models import Backup


@admin.register(Backup)
class BackupAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Only deploy/backup writes these rows; nothing here can make a dump, or prove one."""

    list_display = (
        "file",
        "dumped_at",
        "proven_at",
        "stored_at",
        "bytes",
        "tables",
        "rows",
        "failed_at",
        "error",
    )
    list_filter = ("proven_at",)
    date_hierarchy = "started_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
