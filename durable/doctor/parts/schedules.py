"""Beat, and the periodic tasks that are late."""

from __future__ import annotations

from collections.abc import Iterator

from durable.schedules.late import late
from durable.schedules.metrics import leads

from ..line import Level, Line


def lines() -> Iterator[Line]:
    """Yield a line for the leader, and one for the late."""
    one = leads()
    yield Line("schedules", "beat", Level.OK if one else Level.FAIL,
               "one leads" if one else "none leads: nothing periodic runs",
               "start one: `make up`, `docker/entrypoint.sh beat`")  # fmt: skip
    names = sorted(each.name for each in late())
    yield Line("schedules", "late", Level.WARN if names else Level.OK, ", ".join(names) or "none",
               "look at beat's log; after an outage it catches up within a minute")  # fmt: skip
