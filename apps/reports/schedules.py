"""The periodic tasks of reports."""

from datetime import timedelta

from durable.schedules.declare import Schedule

SCHEDULES = [
    Schedule(
        name="reports: sweep abandoned uploads",
        task="apps.reports.tasks.sweep_abandoned_uploads",
        every=timedelta(minutes=5),
        description="Deletes the uploads whose web process died; their keys can be used again.",
    ),
    Schedule(
        name="reports: delete expired",
        task="apps.reports.tasks.delete_expired",
        every=timedelta(hours=1),
        description="Deletes reports older than REPORTS_EXPIRE_DAYS.",
    ),
]
