"""The console's addresses; the project's urls.py finds this by its name."""

from __future__ import annotations

from django.urls import include, path

from . import act, views

_pages = [
    path("", views.now, name="now"),
    path("tasks/", views.tasks, name="tasks"),
    path("tasks/<int:row_id>/", views.task, name="task"),
    path("failures/", views.failures, name="failures"),
    path("queues/", views.queues, name="queues"),
    path("workers/", views.workers, name="workers"),
    path("schedules/", views.schedules, name="schedules"),
    path("names/", views.names, name="names"),
    path("backups/", views.backups, name="backups"),
    path("checks/", views.checks, name="checks"),
    path("audit/", views.audit, name="audit"),
    path("audit/<int:deed_id>/stop/", act.stop_deed, name="stop_deed"),
    path("confirm/<str:what>/", act.confirm, name="confirm"),
    path("do/<str:what>/", act.do, name="do"),
]

urlpatterns = [path("ops/", include((_pages, "console")))]
