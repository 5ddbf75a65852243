"""Reports in the admin: to look at and to delete, not to edit."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from durable.database.admin import ReadOnlyAdmin

from .models import Report


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """Shows what a report is and how far it got; never a chunk or the result, which are large."""

    list_display = ("name", "owner", "state", "rows", "size_bytes", "created_at", "finished_at")
    list_filter = ("state", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "id", "sha256")
    ordering = ("-created_at",)
    exclude = ("result", "columns")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        return super().get_queryset(request).defer("result", "columns")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, request, obj)
