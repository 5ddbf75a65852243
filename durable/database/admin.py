"""The admin's pages of tables that no person writes, however long they are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property

#: The most rows that a person pages through.
CAP = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts the newest rows alone, and not the whole table."""

    @cached_property
    def count(self) -> int:
        """The number of rows, ``CAP`` at most."""
        rows: Any = self.object_list
        return int(rows.order_by("-pk").values("pk")[:CAP].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows to read, the newest first."""

    ordering = ("-pk",)
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
