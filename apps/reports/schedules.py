"""The periodic task of reports."""

from datetime import timedelta

from durable.schedules.declare import Schedule

SCHEDULES = [
    Schedule(
        name="reports: delete old ones and abandoned uploads",
        task="apps.reports.tasks.delete_old",
        every=timedelta(minutes=5),
        description="Deletes what is older than REPORTS_EXPIRE_DAYS, and uploads that broke off.",
    ),
]
