"""What is worth waking a person for: each has a page in docs/runbooks.

Prometheus' rules (k8s/components/monitoring/alerts.yaml) are made of this list:
``manage.py alerts --prometheus``; a test compares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from durable.backups.metrics import ARCHIVE_OLD, OLD
from durable.canary.conf import LATE as CANARY_LATE

from .conditions import (
    Above,
    Condition,
    Doubles,
    Ends,
    Grown,
    Near,
    Old,
    Share,
    Silent,
    Zero,
)

RUNBOOKS = "docs/runbooks"


class Rule(NamedTuple):
    """A condition, for how many minutes it must hold, and how it is said."""

    name: str
    when: Condition
    minutes: int
    severity: str
    #: ``{value}``, also as ``{value:%}``, ``{value:duration}``, ``{value:bytes}``; and labels.
    says: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels that its values have."""
        by: tuple[str, ...] = getattr(self.when, "by", ())
        return by

    @property
    def runbook(self) -> str:
        """The page that says what to do."""
        return f"{RUNBOOKS}/{self.name}.md"

    def text(self, labels: dict[str, str], value: float) -> str:
        """Return the sentence for a person."""

        def fill(found: re.Match[str]) -> str:
            name, form = found.groups()
            return _FORMS[form or ""][0](value) if name == "value" else labels.get(name, "")

        return _FIELD.sub(fill, self.says)

    def template(self) -> str:
        """Return the sentence as Prometheus fills it."""

        def fill(found: re.Match[str]) -> str:
            name, form = found.groups()
            function = f" | {_FORMS[form or ''][1]}" if form else ""
            return f"{{{{ $value{function} }}}}" if name == "value" else f"{{{{ $labels.{name} }}}}"

        return _FIELD.sub(fill, self.says)


_FIELD = re.compile(r"\{(\w+)(?::(%|duration|bytes|number))?\}")


def _duration(seconds: float) -> str:
    if math.isinf(seconds):
        return "∞"
    sign, seconds = "-" if seconds < 0 else "", abs(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{sign}{seconds // size:.0f} {unit}"
    return f"{sign}{seconds:.0f} s"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


#: How a value is written here, and by which function of Prometheus.
_FORMS: dict[str, tuple[Callable[[float], str], str]] = {
    "": (lambda value: f"{value:g}", ""),
    "number": (lambda value: f"{value:.0f}", "humanize"),
    "%": (lambda value: f"{value:.0%}", "humanizePercentage"),
    "duration": (_duration, "humanizeDuration"),
    "bytes": (_bytes, "humanize1024"),
}

CRITICAL, WARNING = "critical", "warning"
_OF_TASK = ("task", "queue")

RULES = [
    Rule("TasksUntaken", Above("proj_tasks_untaken", 0, ("queue",)), 5, CRITICAL,
         "{value} tasks of queue {queue} wait, and no worker takes from it."),
    Rule("TasksWaitTooLong", Above("proj_oldest_ready_seconds", 600, ("queue",)), 5, CRITICAL,
         "A task in queue {queue} has waited for {value:duration}."),
    Rule("CanaryLate", Above("proj_canary_seconds", CANARY_LATE, ("queue",)), 5, CRITICAL,
         "The canary of queue {queue} is late by {value:duration}."),
    Rule("TasksFail",
         Share("proj_tasks_failed_total", ("proj_tasks_failed_total", "proj_tasks_done_total"),
               5, 0.2, _OF_TASK, ("task",)), 5, WARNING,
         "{value:%} of {task} fail."),
    Rule("AttemptsDie", Grown("proj_tasks_died_total", 2, _OF_TASK, ("task",)), 1, WARNING,
         "{value:number} attempts of {task} died in 15 minutes."),
    Rule("TasksInQuarantine", Above("proj_tasks_quarantined", 0, ("queue",)), 1, WARNING,
         "{value} tasks of queue {queue} are in quarantine."),
    Rule("NoBeatLeads", Zero("proj_beat_leads"), 5, CRITICAL,
         "No beat leads, so nothing periodic runs."),
    Rule("ScheduleMissed", Above("proj_schedules_late", 0), 5, WARNING,
         "{value} periodic tasks are late."),
    Rule("MigrationsPending", Above("proj_migrations_pending", 0), 15, WARNING,
         "The schema lacks {value} migrations of web's code."),
    Rule("VersionSkew", Above("proj_versions", 1), 60, WARNING,
         "{value} versions of the project run at once."),
    Rule("BrokerAway", Zero("proj_broker_up"), 5, WARNING, "The broker does not answer."),
    Rule("BrokerNearLimit",
         Near("proj_broker_memory_bytes", "proj_broker_memory_limit_bytes", 0.85), 5, CRITICAL,
         "The broker uses {value:%} of its memory."),
    Rule("BrokerEvicts", Grown("proj_broker_evicted_total", 0), 0, CRITICAL,
         "The broker threw {value:number} messages away."),
    Rule("RequestsFail",
         Share('proj_http_requests_total{status=~"5.."}', ("proj_http_requests_total",),
               10, 0.05, ("route", "status")), 5, CRITICAL,
         "{value:%} of the requests end with an error of the server."),
    Rule("ConnectionsNearLimit",
         Near("proj_database_connections", "proj_database_connections_limit", 0.85), 5, CRITICAL,
         "{value:%} of PostgreSQL's connections are taken."),
    Rule("TransactionOpen", Above("proj_database_transaction_seconds", 900), 5, WARNING,
         "A transaction is open for {value:duration}."),
    Rule("DiskFull", Above("proj_disk_used_ratio", 0.9, ("folder",)), 10, CRITICAL,
         "{value:%} of the disk of {folder} are in use."),
    Rule("DatabaseGrows", Doubles("proj_database_bytes", 1e9), 30, WARNING,
         "The database will have doubled within a day, to {value:bytes}."),
    Rule("BackupTooOld", Old("proj_backup_proven_age_seconds", OLD), 10, CRITICAL,
         "The last backup that was proven by a restore is {value:duration} old."),
    Rule("BackupNotStored", Old("proj_backup_stored_age_seconds", OLD), 10, CRITICAL,
         "The newest backup off the machine is {value:duration} old."),
    Rule("ArchiveStopped", Old("proj_backup_archive_age_seconds", ARCHIVE_OLD), 5, CRITICAL,
         "The archive of WAL was last written {value:duration} ago."),
    Rule("CertificateEnds", Ends("proj_certificate_end_seconds", 7 * 86_400, ("host",)), 60,
         CRITICAL, "The certificate of {host} ends in {value:duration}."),
    Rule("NoMetrics", Silent(), 5, CRITICAL,
         "The state can't be asked: web or its database does not answer."),
]  # fmt: skip
