"""One look at all conditions: what fires now, what is over, and what must still be said.

The state is in PostgreSQL, and changes in one transaction: another leader goes on with it. What is
said is written down after it was taken, so it is said at least once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

from django.db import connections, router, transaction
from django.utils import timezone

from durable.database import locks
from durable.metrics.gauges import Gauge, measure

from . import conf, send
from .conditions import GROWTH, Ago, Measured, measured
from .models import Alert, Sample
from .rules import CRITICAL, RULES, Rule

logger = logging.getLogger(__name__)

#: How long it must be calm until it counts as over: what comes and goes is said once.
CALM = timedelta(minutes=5)
#: How much longer than a rule's window a sample may be ago.
SLACK = 60

BY_NAME = {rule.name: rule for rule in RULES}


class Look(NamedTuple):
    """What was found."""

    firing: list[Alert]
    #: Of each channel what it must be told.
    due: dict[str, list[Alert]]


def look(gauges: Iterable[Gauge] | None = None, now: datetime | None = None) -> Look | None:
    """Measure, and bring the state up to date; ``None`` while another process does.

    :raises django.db.Error: the database is away, or needs too long.
    """
    found = measured(measure() if gauges is None else gauges)
    now = now or timezone.now()
    found = found._replace(at=now.timestamp())
    alias = router.db_for_write(Alert)
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [locks.ALERTS])
        if not cursor.fetchone()[0]:
            return None
        known = {key_of(each): each for each in Alert.objects.all()}
        holds = set()
        for rule in RULES:
            for labels, value in rule.when.of(found, _ago(now)).items():
                holds.add((rule.name, *labels))
                _hold(known, rule, labels, value, now)
        for key in known.keys() - holds:
            _calm(known[key], now)
        _remember(found, now)
    return state(now)


def state(now: datetime) -> Look:
    """Return what fires, and what is to be said."""
    alerts = [each for each in Alert.objects.exclude(fired_at=None).order_by("fired_at", "pk")
              if each.rule in BY_NAME]  # fmt: skip
    due = {name: [each for each in alerts if _is_due(each, name, now)][: send.MOST]
           for name in send.channels()}  # fmt: skip
    return Look([each for each in alerts if not is_over(each, now)], due)


def tell(found: Look, now: datetime) -> bool:
    """Say what is due; return whether all of it was taken."""
    taken = True
    for channel, alerts in found.due.items():
        if not alerts:
            continue
        if send.send(channel, [as_message(each, now) for each in alerts]):
            for each in alerts:
                each.told[channel] = [status(each, now), now.isoformat()]
                each.save(update_fields=["told"])
        else:
            taken = False
    for each in Alert.objects.filter(calm_since__lte=now - CALM):
        if not any(_is_due(each, name, now) for name in send.channels()):
            each.delete()
    return taken


def is_well(found: Look) -> bool:
    """Return whether nothing fires that a person must be woken for."""
    return not any(BY_NAME[each.rule].severity == CRITICAL for each in found.firing)


def is_over(alert: Alert, now: datetime) -> bool:
    """Return whether an alert has been calm for long enough."""
    return alert.calm_since is not None and now - alert.calm_since >= CALM


def status(alert: Alert, now: datetime) -> str:
    """Return Alertmanager's word for it."""
    return send.RESOLVED if is_over(alert, now) else send.FIRING


def key_of(alert: Alert) -> tuple[str, ...]:
    """Return its rule and the values of its labels, in the rule's order."""
    rule = BY_NAME.get(alert.rule)
    return (alert.rule, *(str(alert.labels.get(each)) for each in (rule.labels if rule else ())))


def as_message(alert: Alert, now: datetime) -> send.Message:
    """Return what is said of an alert."""
    rule = BY_NAME[alert.rule]
    return send.Message(
        rule.name, status(alert, now), rule.severity, alert.labels,
        rule.text(alert.labels, alert.value), rule.runbook, alert.since,
        alert.calm_since if is_over(alert, now) else None,
    )  # fmt: skip


def _hold(known: dict[tuple[str, ...], Alert], rule: Rule, labels: tuple[str, ...],
          value: float, now: datetime) -> None:  # fmt: skip
    alert = known.get((rule.name, *labels))
    if alert is None:
        named = dict(zip(rule.labels, labels, strict=True))
        alert = Alert(rule=rule.name, labels=named, since=now)
    alert.value, alert.calm_since = value, None
    alert.since = min(alert.since, now)  # the clock was ahead
    if alert.fired_at is None and now - alert.since >= timedelta(minutes=rule.minutes):
        alert.fired_at = now
    alert.save()


def _calm(alert: Alert, now: datetime) -> None:
    if alert.fired_at is None or alert.rule not in BY_NAME:
        alert.delete()
    elif alert.calm_since is None or alert.calm_since > now:
        alert.calm_since = now
        alert.save(update_fields=["calm_since"])


def _is_due(alert: Alert, channel: str, now: datetime) -> bool:
    said = alert.told.get(channel)
    if is_over(alert, now):
        return said is None or said[0] == send.FIRING
    if said is None or said[0] != send.FIRING:
        return True
    again = timedelta(hours=conf.get("REPEAT_HOURS"))
    return alert.calm_since is None and now - datetime.fromisoformat(said[1]) >= again


def _ago(now: datetime) -> Ago:
    @cache
    def ago(seconds: int) -> Measured | None:
        since = now - timedelta(seconds=seconds + SLACK)
        sample = Sample.objects.filter(at__gte=since, at__lt=now).order_by("at").first()
        if sample is None:
            return None
        values = {
            name: (tuple(labels), {tuple(key): value for key, value in found})
            for name, (labels, found) in sample.values.items()
        }
        return Measured(sample.at.timestamp(), values)

    return ago


def _remember(found: Measured, now: datetime) -> None:
    wanted = {name for rule in RULES for name in rule.when.counters()} & found.values.keys()
    values = {
        name: [
            found.values[name][0],
            [[key, value] for key, value in found.values[name][1].items()],
        ]
        for name in sorted(wanted)
    }
    Sample.objects.get_or_create(at=now, defaults={"values": values})
    Sample.objects.filter(at__lt=now - timedelta(seconds=GROWTH + 2 * SLACK)).delete()
