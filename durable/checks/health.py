"""When a role that is alive could be taken for dead."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from . import database
from .invariant import Finding, invariant

#: Seconds between two looks at a role's health, in compose and Kubernetes.
PROBE_PERIOD = 10


@invariant(
    "proj.W081",
    "HEARTBEAT_MAX_AGE > `connect_timeout` + `tcp_user_timeout` of the database, and ≥ the period "
    f"of the probes, {PROBE_PERIOD} s",
    "raise HEARTBEAT_MAX_AGE, or lower the timeouts in DATABASE_URL",
)
def a_role_that_waits_for_the_database_counts_as_alive() -> Iterator[Finding]:
    """Find a heartbeat that is too old while the role only waits for a database that is gone."""
    options = database.database().get("OPTIONS", {})
    connect = float(options.get("connect_timeout") or 0)
    tcp = float(options.get("tcp_user_timeout") or 0) / 1000
    age = settings.HEARTBEAT_MAX_AGE
    if not connect or not tcp:
        yield (
            f"connect_timeout={connect:g} and tcp_user_timeout={tcp * 1000:g} of the database: "
            "without a bound a worker or beat stands still while the database is gone, and counts "
            "as dead.",
            "Set both in DATABASE_URL: ?connect_timeout=5&tcp_user_timeout=15000.",
        )
    elif age <= max(connect + tcp, PROBE_PERIOD - 1):
        yield (
            f"HEARTBEAT_MAX_AGE={age} is not above connect_timeout={connect:g} s + "
            f"tcp_user_timeout={tcp:g} s of the database and the probes' period of "
            f"{PROBE_PERIOD} s: a role that waits for the database "
            "would be restarted, with the tasks that it runs.",
            f"Set HEARTBEAT_MAX_AGE to {int(max(connect + tcp, PROBE_PERIOD)) + 5} or more.",
        )
