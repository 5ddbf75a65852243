"""The lead among several beats."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from durable.results import conf as results
from durable.schedules import conf as beat
from durable.schedules.scheduler import DatabaseScheduler

from . import database
from .facts import conf
from .invariant import Finding, invariant

#: Where PgBouncer and its like listen when nothing else is said.
POOLERS = {"6432"}
#: Longer than this no one wants to wait for the next leader.
LONG = 60


@invariant(
    "proj.W071",
    f"BEAT_LEADER_TIMEOUT ≥ 3 × the leader's signs of life ({beat.POLL:g} s apart), ≤ {LONG} s",
    "leave BEAT_LEADER_TIMEOUT at 5",
)
def a_leader_may_miss_a_sign_of_life() -> Iterator[Finding]:
    """Find a timeout at which the leader loses its lock for being a little late, or never."""
    timeout = float(beat.get("LEADER_TIMEOUT"))
    if timeout < 3 * beat.POLL:
        yield (
            f"BEAT_LEADER_TIMEOUT={timeout:g} is less than three times the {beat.POLL:g} s between "
            "a leader's signs of life: one that is late loses its place.",
            f"Set BEAT_LEADER_TIMEOUT to {3 * beat.POLL:g} or more.",
        )
    if timeout > LONG:
        yield (
            f"BEAT_LEADER_TIMEOUT={timeout:g}: as long nothing periodic happens after a leader was "
            "cut off.",
            f"Set BEAT_LEADER_TIMEOUT to {LONG} or less.",
        )


@invariant(
    "proj.W072",
    "BEAT_DATABASE_URL is set where DATABASE_URL leads to a pooler (its port is 6432, or "
    "RESULTS_PREPARE is false)",
    "let BEAT_DATABASE_URL lead past the pooler",
)
def the_leaders_session_goes_past_a_pooler() -> Iterator[Finding]:
    """Find a leader's lock that a pooler would hand to somebody else."""
    port = str(database.database().get("PORT") or "")
    if beat.get("DATABASE_URL") or not (port in POOLERS or not results.get("PREPARE")):
        return
    sign = f"its port {port}" if port in POOLERS else "RESULTS_PREPARE=false"
    yield (
        f"DATABASE_URL seems to lead to a pooler ({sign}), and BEAT_DATABASE_URL is not set: "
        "through one that pools transactions no beat keeps the leader's lock.",
        "Set BEAT_DATABASE_URL to PostgreSQL's own address; if DATABASE_URL is no pooler's, to the "
        "same.",
    )


@invariant(
    "proj.E071",
    "CELERY_BEAT_SCHEDULER is durable.schedules' (role beat)",
    "leave CELERY_BEAT_SCHEDULER unset, or run one beat only and silence this check",
)
def several_beats_send_once() -> Iterator[Finding]:
    """Find a scheduler of which each beat sends every task."""
    from celery.utils.imports import symbol_by_name

    if settings.ROLE != "beat":
        return
    name = str(conf().beat_scheduler)
    scheduler = symbol_by_name(name, aliases=None) if "." in name else None
    if not (isinstance(scheduler, type) and issubclass(scheduler, DatabaseScheduler)):
        yield (
            f"CELERY_BEAT_SCHEDULER={name}: two beats, as there are for a moment at each update, "
            "send every periodic task twice, and a broker that is away loses it.",
            "Leave CELERY_BEAT_SCHEDULER unset: durable.schedules.scheduler:DatabaseScheduler has "
            "a leader.",
        )
