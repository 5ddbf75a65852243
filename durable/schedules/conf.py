"""The settings of beat: ``BEAT_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

BEAT = Declared(
    "BEAT",
    # Where the leader's session goes if a pooler stands before the database: past it.
    DATABASE_URL=Setting("", kind="database"),
    # Seconds without a sign of life after which PostgreSQL ends a leader's session, and another
    # beat takes its place.
    LEADER_TIMEOUT=Setting(5, least=2),
    # Whether a task whose time came while no beat could send it runs once on return.
    RUN_MISSED=Setting(True),
    # Seconds that beat waits for the broker, at most, with a task of another project.
    PUBLISH_TIMEOUT=Setting(1.0),
)

#: Seconds between two signs of life of a leader, and two tries of a standby to become it.
POLL = 1.0
#: Seconds until the next try when the database or the broker can't be reached.
RETRY = 1.0
#: Seconds after which the schedule is read again though no change was noticed.
FULL_READ = 300.0
#: Seconds by which a task may be late and not count as missed: a takeover, a restart.
LATE = 60.0

get = BEAT.get
