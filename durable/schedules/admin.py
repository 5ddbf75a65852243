"""The admin of periodic tasks says which of them come from code, and what a person changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin as UpstreamPeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask

from durable.queue.caller.calls import durable

from .fields import of_row
from .models import DeclaredSchedule

admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(UpstreamPeriodicTaskAdmin):  # type: ignore[misc]
    """django-celery-beat's admin, with a column more."""

    list_display = (*UpstreamPeriodicTaskAdmin.list_display, "origin")
    # Upstream's page has an inline script, which the content security policy refuses. It only
    # repeats the crontab in words while another one is chosen.
    change_form_template = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        declared = DeclaredSchedule.objects.filter(name=OuterRef("name")).values("declared")
        queryset: QuerySet[PeriodicTask] = (
            super().get_queryset(request).annotate(declared=Subquery(declared))
        )
        return queryset

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save what the form shows; beat may have written the other columns meanwhile."""
        if change and obj.enabled:
            beats = {"id", "last_run_at", "total_run_count"}
            names = {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=names - beats)
        else:
            super().save_model(request, obj, form, change)

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Run them once, as rows like those of beat: all or none, and also while Redis is away."""
        with durable():
            super().run_tasks(request, queryset)

    @admin.display(description="declared in code")
    def origin(self, row: Any) -> str:
        """Return whether the code declares *row*, and which fields differ from it."""
        if row.declared is None:
            return "no"
        found = of_row(row)
        changed = [name for name, value in row.declared.items() if found.get(name) != value]
        return f"yes, changed here: {', '.join(changed)}" if changed else "yes"


@admin.register(DeclaredSchedule)
class DeclaredScheduleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A schedule as the code declares it. Deleting an entry brings a deleted periodic task back.

    The next ``entrypoint migrate`` makes it again.
    """

    list_display = ("name", "state")
    fields = ("name", "declared", "state")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="periodic task")
    def state(self, entry: DeclaredSchedule) -> str:
        """Return whether the periodic task exists still."""
        exists = PeriodicTask.objects.filter(name=entry.name).exists()
        return "exists" if exists else "deleted by hand"
