"""Tasks that are not finished, in the admin: what waits, what runs, and the quarantine."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from durable.database.admin import ReadOnlyAdmin

from . import overview
from .endings import quarantine
from .endings.actions import discard
from .models import Task, Worker
from .states import STATES


class StateFilter(admin.SimpleListFilter):
    """The states of a task's row (states.py)."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"{name}: {state.meaning}") for name, state in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        name = self.value()
        if name not in STATES:
            return queryset
        if name in ("ready", "scheduled"):  # which are told apart by the time alone
            return queryset.filter(pk__in=overview.ids_of(name))
        return queryset.filter(STATES[name].columns)


@admin.register(Task)
class EntryAdmin(ReadOnlyAdmin):
    """Unfinished tasks; those in quarantine can be started again, all but what runs given up."""

    list_display = ("task", "error", "queue", "priority", "key", "attempt", "worker", "due_at",
                    "task_id")  # fmt: skip
    # By name, queue, arguments or error the console finds (/ops/tasks/), in bounded steps.
    list_filter = (StateFilter,)
    actions = ("requeue", "discard")
    # They have the arguments: the console shows them to those who may see them, without secrets.
    exclude = ("body", "headers")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the person may do the actions; there is nothing else to change."""
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.model._meta.fields if field.name not in self.exclude]

    @admin.action(description="Start again (quarantined tasks)", permissions=["change"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """Make them ready again, with all their attempts before them."""
        who = request.user.get_username()
        count = quarantine.requeue(list(queryset.values_list("pk", flat=True)), who)
        self.message_user(request, f"{count} tasks are ready again.", messages.SUCCESS)

    @admin.action(
        description="Discard: end for good, without running (leaves those that run now)",
        permissions=["change"],
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        """End them: what is in quarantine has failed for good, what waits is revoked."""
        who = request.user.get_username()
        done = discard(list(queryset.values_list("pk", flat=True)), who)
        for trouble in done.troubles:
            self.message_user(request, trouble, messages.WARNING)
        if done.running:
            self.message_user(
                request,
                f"{done.running} tasks run now and are left; "
                "app.control.revoke(id, terminate=True) ends one.",
                messages.WARNING,
            )
        self.message_user(request, f"{done.ended} tasks are discarded.", messages.SUCCESS)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Workers that give signs of life."""

    list_display = ("hostname", "pid", "slots", "started_at", "seen_at")
