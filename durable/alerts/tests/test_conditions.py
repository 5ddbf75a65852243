"""What fires and what doesn't, at the edges of what was measured."""

from __future__ import annotations

from durable.alerts import watch
from durable.alerts.conditions import Measured

REQUESTS = "proj_http_requests_total"


def at(moment: float, **counts: float) -> Measured:
    """What `/metrics` says of requests: so many of each route, by its status."""
    values = {tuple(name.rsplit("_", 1)): count for name, count in counts.items()}
    return Measured(moment, {REQUESTS: (("route", "status"), values)})


def fires(now: Measured, before: Measured) -> bool:
    return bool(watch.BY_NAME["RequestsFail"].when.of(now, lambda seconds: before))


def test_a_route_that_is_not_shown_any_more_is_no_failure() -> None:
    before = at(0, home_200=10_000, home_500=100, old_500=200)
    assert not fires(at(900, home_200=10_300, home_500=100), before)
    assert fires(at(900, home_200=10_300, home_500=120), before)


def test_a_counter_that_fell_has_begun_anew() -> None:
    before = at(0, home_200=10_000, home_500=100)
    assert not fires(at(900, home_200=300, home_500=9), before)
    assert fires(at(900, home_200=100, home_500=10), before)
