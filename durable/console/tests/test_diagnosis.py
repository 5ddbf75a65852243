"""What the first sentence of *Now* says of each incident, and the worst comes first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from durable.console import diagnosis
from durable.console.snapshot import Failures, Queue, Snapshot
from durable.database.locks import Holder
from durable.database.server import Server
from durable.queue.overview import Worker
from durable.schedules import broker_state
from durable.schedules.late import Late

NOW = timezone.now()
QUIET = Queue("mail", 0, 0, 0, None, 0, 0, 0, [], [], 1, False)
WORKER = Worker("w", "h", 1, 2, "mail", "1.0", NOW, NOW, True, "", 0, 0, 0)
SERVER = Server("18", 1, 10, 100, 1.0, 77, "proj-worker", "active", 0.0, "")
LEADER = Holder(1, "proj-beat-leader", "this machine", False)
WELL = Snapshot(
    NOW, [QUIET], [WORKER], [], [], [], [], LEADER, SERVER,
    broker_state.State("ok", "Redis 8", 10, 100), 3600.0, [], [], 0, [], {},
)  # fmt: skip
LONG = timedelta(minutes=12).total_seconds()


def mail(**changes: Any) -> list[Queue]:
    return [QUIET._replace(**changes)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"queues": mail(ready=3, oldest=LONG, takers=0)},
         "3 tasks of mail wait for 12 min: no worker takes from it."),
        ({"queues": mail(ready=3, oldest=LONG, takers=0), "workers": []},
         "3 tasks of mail wait for 12 min: no worker is alive."),
        ({"queues": mail(canary=LONG)},
         "The canary of mail has not come to its end for 12 min: workers take from it, and their "
         "tasks do not end."),
        ({"queues": mail(ready=900, oldest=LONG, called=60, ended=90)},
         "mail is behind: 900 tasks, the oldest ready for 12 min; 60 come and 90 end a minute, "
         "empty in 30 min."),
        ({"quarantined": [("shop.charge", "the process that ran it died", 2)]},
         "2 tasks in quarantine, of shop.charge: the process that ran it died."),
        ({"queues": mail(ended=10, failed=4),
          "failures": [Failures("shop.charge", "KeyError", "shop/tasks.py:3 charge", 4, NOW, 1)]},
         "4 of 10 tasks of mail failed last minute: shop.charge by KeyError at "
         "shop/tasks.py:3 charge."),
        ({"slower": [("shop.charge", 12.0, 0.5)]},
         "shop.charge takes 12 s, 24 times as long as in the last hour."),
        ({"broker": broker_state.State("ok", "Redis 8", 95, 100)},
         "The broker is 95 % full: beyond its limit it refuses plain calls."),
        ({"broker": broker_state.State("away", "no answer for 0.5 s", 0, 0)},
         "The broker does not answer (no answer for 0.5 s): plain calls wait, durable go on."),
        ({"late": [Late("nightly", LONG)]}, "The periodic task “nightly” is 12 min late."),
        ({"leader": None}, "No beat leads: no periodic task is called."),
        ({"workers": [WORKER, WORKER._replace(version="1.1")]},
         "The roles run different versions: 1.0, 1.1."),
        ({"version": "1.1"}, "The roles run different versions: 1.0, 1.1."),
        ({"grown": [("shop.charge", 300_000, 900_000)]},
         "Processes that ran shop.charge have grown from 307 MB to 922 MB."),
        ({"postgres": SERVER._replace(oldest=LONG)},
         "A transaction of proj-worker is open for 12 min: nothing can be vacuumed, and tables "
         "grow."),
        ({"postgres": SERVER._replace(connections=95)},
         "95 of 100 connections of PostgreSQL are taken."),
        ({"backup": 40 * 3600.0}, "The last proven backup is 40 h old."),
        ({"backup": float("inf")}, "There are backups, and none of them is proven."),
        ({"died": 3}, "3 attempts died in the last 10 minutes, without a word."),
    ],
)  # fmt: skip
def test_an_incident_is_named_with_what_helps(changes: dict[str, Any], says: str) -> None:
    [found] = diagnosis.findings(WELL._replace(**changes))
    assert found.says == says
    assert found.do


def test_nothing_is_named_where_nothing_is_wrong_and_the_worst_comes_first() -> None:
    assert diagnosis.findings(WELL) == []
    assert diagnosis.calm(WELL).startswith("All is well: 1 worker, 0 tasks running")
    both = WELL._replace(backup=float("inf"), leader=None)
    assert [one.level for one in diagnosis.findings(both)] == ["bad", "warn"]
