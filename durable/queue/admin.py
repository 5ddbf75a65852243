"""Tasks that are not finished, in the admin: what waits, what runs, and the quarantine."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.functional import cached_property

from . import overview
from .endings import quarantine
from .endings.discard import discard
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
        queryset = queryset.filter(STATES[name].columns)
        if name == "scheduled":
            return queryset.filter(due_at__gt=Now())
        return queryset.filter(due_at__lte=Now()) if name == "ready" else queryset


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts as many rows as a person pages through, and not the whole table."""

    @cached_property
    def count(self) -> int:
        """The number of rows, ``overview.CAP`` at most."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: overview.CAP].count())


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that only the queue writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.model._meta.fields]


@admin.register(Task)
class EntryAdmin(ReadOnly):
    """Unfinished tasks; those in quarantine can be started again, all but what runs given up."""

    list_display = ("task", "error", "queue", "priority", "key", "attempt", "worker", "due_at",
                    "task_id")  # fmt: skip
    # By name, queue, arguments or error the console finds (/ops/tasks/), in bounded steps.
    list_filter = (StateFilter,)
    ordering = ("-id",)
    sortable_by = ()
    paginator = CappedPaginator
    show_full_result_count = False
    actions = ("requeue", "discard")

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
class WorkerAdmin(ReadOnly):
    """Workers that give signs of life."""

    list_display = ("hostname", "pid", "slots", "started_at", "seen_at")
