"""The backups in the admin, to read."""

from __future__ import annotations

from django.contrib import admin

from durable.database.admin import ReadOnlyAdmin

from .models import Backup


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    """Only deploy/backup writes these rows; nothing here can make a dump, or prove one."""

    list_display = (
        "file", "dumped_at", "proven_at", "stored_at", "bytes", "tables", "rows", "failed_at",
        "error",
    )  # fmt: skip
    list_filter = ("proven_at",)
    date_hierarchy = "started_at"
