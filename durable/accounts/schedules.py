"""When old lines of the audit log go."""

from durable.schedules.declare import Schedule

SCHEDULES = [
    Schedule(
        name="accounts: delete old lines of the audit log",
        task="durable.accounts.tasks.purge_audit",
        crontab="23 3 * * *",
        description="Deletes what is older than ACCOUNT_AUDIT_DAYS, in batches.",
    ),
]
