"""Tasks that are not finished, in the admin: what waits, what runs, and the quarantine."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from . import quarantine, results
from .models import Entry, Worker


class StateFilter(admin.SimpleListFilter):
    """The states of a task's life, as the page docs/delivery.md draws them."""

    title = "state"
    parameter_name = "state"

    STATES: dict[str, dict[str, Any]] = {
        "quarantined": {"quarantined_at__isnull": False},
        "running": {"worker__isnull": False},
        "to be sent": {"due_at__isnull": False},
        "sent": {"due_at": None, "worker": None, "quarantined_at": None},
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        return queryset.filter(**self.STATES.get(self.value() or "", {}))


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only the outbox writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.model._meta.fields]


def fail(row: Entry, call_errbacks: bool = True) -> None:
    """Store that the task of *row* has failed for good, and tell those that depend on it."""
    try:
        request = results.context(row.task_id, row.task, row.body)
    except Exception:  # a body that can't be read, which is what brought it here
        request = results.context(row.task_id, row.task)
    current_app.backend.mark_as_failure(
        row.task_id,
        results.Quarantined(row.error),
        request=request,
        call_errbacks=call_errbacks,
    )


@admin.register(Entry)
class EntryAdmin(ReadOnly):
    """Unfinished tasks; those in quarantine can be started again or given up."""

    list_display = ("task", "error", "queue", "starts", "worker", "due_at", "sends", "task_id")
    list_filter = (StateFilter, "task", "queue")
    search_fields = ("task_id", "task")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("requeue", "discard")

    @admin.action(description="Start again (quarantined tasks)", permissions=["change"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        """Let the relay send them again, with all their starts before them."""
        who = request.user.get_username()
        count = quarantine.start_again(list(queryset.values_list("pk", flat=True)), who)
        self.message_user(request, f"{count} tasks are sent again.", messages.SUCCESS)

    @admin.action(description="Discard (quarantined tasks)", permissions=["change"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        """Give them up: failed for good, and so are their chains, chords and error callbacks."""
        with transaction.atomic(using=queryset.db):
            rows = list(queryset.select_for_update().filter(quarantined_at__isnull=False))
            for row in rows:
                row.delete()
                try:
                    with transaction.atomic(using=queryset.db):
                        fail(row)
                except Exception as error:
                    # What can't be sent may be what brought it here; it ends all the same.
                    fail(row, call_errbacks=False)
                    why = f"error callbacks of {row.task_id} could not be called: {error!r}"
                    self.message_user(request, f"The {why}", messages.WARNING)
        self.message_user(request, f"{len(rows)} tasks are discarded.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    """Workers that give signs of life."""

    list_display = ("hostname", "pid", "started_at", "seen_at")
