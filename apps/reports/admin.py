"""Reports in the admin: to look at and to delete, not to edit."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Report


@admin.register(Report)
class ReportAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the type checker only
    """Shows what a report is and how far it got; never a chunk or the result, which are large."""

    list_display = ("name", "owner", "state", "rows", "size_bytes", "created_at", "finished_at")
    list_filter = ("state", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "id", "sha256")
    date_hierarchy = "created_at"
    show_full_result_count = False
    exclude = ("result", "columns")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        return super().get_queryset(request).defer("result", "columns")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Report | None = None) -> bool:
        return False
