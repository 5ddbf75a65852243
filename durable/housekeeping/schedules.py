"""When the expired rows go; not all at once, and not at the full hour."""

from durable.schedules.declare import Schedule

SCHEDULES = [
    Schedule(
        name="housekeeping: delete expired results",
        task="durable.housekeeping.tasks.purge_results",
        crontab="13 * * * *",
        description="Deletes results of tasks older than CELERY_RESULT_EXPIRES, in batches.",
    ),
    Schedule(
        name="housekeeping: drop old days of the journal",
        task="durable.housekeeping.tasks.purge_journal",
        crontab="23 * * * *",
        description="Drops what the journal has of ended tasks beyond HISTORY_DAYS.",
    ),
    Schedule(
        name="housekeeping: delete keys of unique calls",
        task="durable.housekeeping.tasks.purge_seen",
        crontab="33 * * * *",
        description="Deletes what unique(within=) and dedupe= remember of calls, once it is over.",
    ),
    Schedule(
        name="housekeeping: delete expired cache entries",
        task="durable.housekeeping.tasks.purge_cache",
        crontab="28 * * * *",
        description="Deletes expired entries of the caches in the database, in batches.",
    ),
    Schedule(
        name="housekeeping: delete expired sessions",
        task="durable.housekeeping.tasks.purge_sessions",
        crontab="43 4 * * *",
        description="Deletes expired sessions, in batches.",
    ),
]
