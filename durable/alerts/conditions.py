"""The forms that a condition has, each in Python and in Prometheus' language.

``of()`` returns what fires: the values by the rule's labels. ``promql()`` says the same; its max()
is over the pods of web, which agree unless one is stuck.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

#: The values of some labels, and what was measured.
Values = Mapping[tuple[str, ...], float]
#: Seconds over which counters are compared, and over which growth is.
WINDOW, GROWTH = 900, 6 * 3600
DAY = 86_400


class Measured(NamedTuple):
    """What `/metrics` says at one moment; each metric's labels and values."""

    at: float
    values: Mapping[str, tuple[tuple[str, ...], Values]]

    def by(
        self, metric: str, labels: tuple[str, ...] | None
    ) -> dict[tuple[str, ...], float] | None:
        """Return a metric's sums by *labels*, by all if there are none; ``None``: it isn't there.

        A selector may follow its name: ``proj_http_requests_total{status=~"5.."}``.
        """
        found = re.fullmatch(r'(\w+)(?:\{(\w+)=~"([^"]+)"\})?', metric)
        assert found, metric  # noqa: S101 - the rules are constants, and a test reads each
        name, label, pattern = found.groups()
        if name not in self.values:
            return None
        names, values = self.values[name]
        sums: dict[tuple[str, ...], float] = {}
        for key, value in values.items():
            of = dict(zip(names, key, strict=True))
            if label is None or re.fullmatch(pattern, of[label]):
                short = tuple(of[each] for each in (names if labels is None else labels))
                sums[short] = sums.get(short, 0.0) + value
        return sums


#: What was measured so many seconds ago, or since, if that is not known; ``None``: nothing was.
Ago = Callable[[int], Measured | None]


class Condition(Protocol):
    """Something that may be wrong."""

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        """Return what fires, by the labels."""

    def promql(self) -> str:
        """Return the expression."""

    def counters(self) -> Iterable[str]:
        """Return the metrics whose past it asks for."""


def _by(*labels: str) -> str:
    return f"by ({', '.join(('namespace', *labels))})"


class Above(NamedTuple):
    """A gauge is above a limit."""

    metric: str
    limit: float
    by: tuple[str, ...] = ()

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        found = now.by(self.metric, self.by) or {}
        return {key: value for key, value in found.items() if value > self.limit}

    def promql(self) -> str:
        return f"max {_by(*self.by)} ({self.metric}) > {self.limit:g}"

    def counters(self) -> Iterable[str]:
        return ()


class Old(Above):
    """An age is above a limit, in the newest answer: pods agree, and a stuck one is behind."""

    def promql(self) -> str:
        return f"min {_by(*self.by)} ({self.metric}) > {self.limit:g}"


class Zero(NamedTuple):
    """A gauge is 0."""

    metric: str

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        found = now.by(self.metric, ()) or {}
        return {key: value for key, value in found.items() if value == 0}

    def promql(self) -> str:
        return f"max {_by()} ({self.metric}) == 0"

    def counters(self) -> Iterable[str]:
        return ()


class Near(NamedTuple):
    """A gauge is near its own limit, if it has one."""

    metric: str
    of_limit: str
    part: float

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        limits = now.by(self.of_limit, ()) or {}
        found = {
            key: value / limits[key]
            for key, value in (now.by(self.metric, ()) or {}).items()
            if limits.get(key)
        }
        return {key: value for key, value in found.items() if value > self.part}

    def promql(self) -> str:
        return f"max {_by()} ({self.metric} / ({self.of_limit} > 0)) > {self.part:g}"

    def counters(self) -> Iterable[str]:
        return ()


def _more(
    metric: str, labels: tuple[str, ...], now: Measured, ago: Ago
) -> dict[tuple[str, ...], float]:
    """Return by how much a counter has grown; one that fell has begun anew.

    Each series for itself, as increase(): one that is not shown any more lets the sum fall.
    """
    before = ago(WINDOW)
    found = now.by(metric, None)
    then = before.by(metric, None) if before else None
    if found is None or then is None:
        return {}
    names = now.values[metric.partition("{")[0]][0]
    grown: dict[tuple[str, ...], float] = {}
    for key, value in found.items():
        more, of = value - then.get(key, 0.0), dict(zip(names, key, strict=True))
        short = tuple(of[each] for each in labels)
        grown[short] = grown.get(short, 0.0) + (more if more >= 0 else value)
    return grown


def _increase(metric: str, labels: tuple[str, ...]) -> str:
    return f"max {_by(*labels)} (increase({metric}[{WINDOW // 60}m]))"


class Grown(NamedTuple):
    """A counter has grown within a quarter of an hour by more than a limit."""

    metric: str
    limit: float
    labels: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        found = _more(self.metric, self.by, now, ago)
        return {key: value for key, value in found.items() if value > self.limit}

    def promql(self) -> str:
        return f"sum {_by(*self.by)} ({_increase(self.metric, self.labels)}) > {self.limit:g}"

    def counters(self) -> Iterable[str]:
        return (self.metric.partition("{")[0],)


class Share(NamedTuple):
    """Of what counters counted in a quarter of an hour, some are bad: many, and a large part."""

    bad: str
    of_all: tuple[str, ...]
    least: int
    part: float
    labels: tuple[str, ...]
    by: tuple[str, ...] = ()

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        bad = _more(self.bad, self.by, now, ago)
        everything = [_more(metric, self.by, now, ago) for metric in self.of_all]
        found = {}
        for key, count in bad.items():
            total = sum(each.get(key, 0.0) for each in everything)
            if count >= self.least and total and count / total > self.part:
                found[key] = count / total
        return found

    def promql(self) -> str:
        bad = f"sum {_by(*self.by)} ({_increase(self.bad, self.labels)})"
        sums = (f"sum {_by(*self.by)} ({_increase(each, self.labels)})" for each in self.of_all)
        return f"({bad} >= {self.least}) / ({' + '.join(sums)}) > {self.part:g}"

    def counters(self) -> Iterable[str]:
        return {metric.partition("{")[0] for metric in (self.bad, *self.of_all)}


class Doubles(NamedTuple):
    """A gauge that is large already will have doubled within a day, as it grew in six hours."""

    metric: str
    large: float

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        before = ago(GROWTH)
        then = before.by(self.metric, ()) if before else None
        found = {}
        for key, value in (now.by(self.metric, ()) or {}).items():
            if before is None or then is None or key not in then or now.at <= before.at:
                continue
            soon = value + (value - then[key]) / (now.at - before.at) * DAY
            if soon > 2 * value and soon > self.large:
                found[key] = soon
        return found

    def promql(self) -> str:
        hours = GROWTH // 3600
        return (
            f"max {_by()} (predict_linear({self.metric}[{hours}h], {DAY})) "
            f"> 2 * max {_by()} ({self.metric}) > {self.large:g}"
        )

    def counters(self) -> Iterable[str]:
        return (self.metric,)


class Ends(NamedTuple):
    """A moment is near, or past."""

    metric: str
    seconds: float
    by: tuple[str, ...]

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        found = now.by(self.metric, self.by) or {}
        return {key: end - now.at for key, end in found.items() if end - now.at < self.seconds}

    def promql(self) -> str:
        return f"min {_by(*self.by)} ({self.metric}) - time() < {self.seconds:g}"

    def counters(self) -> Iterable[str]:
        return ()


class Silent(NamedTuple):
    """Nothing can be measured; watch.py sees that for itself."""

    def of(self, now: Measured, ago: Ago) -> dict[tuple[str, ...], float]:
        return {}

    def promql(self) -> str:
        return f'max {_by()} (up{{job="web"}}) == 0'

    def counters(self) -> Iterable[str]:
        return ()


def measured(gauges: Iterable[tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], object]]],
             at: float | None = None) -> Measured:  # fmt: skip
    """Return what *gauges* (durable/metrics) say; histograms are left out."""
    found = {}
    for name, _, labels, values in gauges:
        numbers = {key: value for key, value in values.items() if isinstance(value, (int, float))}
        found[name] = (labels, numbers)
    return Measured(time.time() if at is None else at, found)
