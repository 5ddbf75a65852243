"""The metrics as text, measured at the scrape and kept for a moment.

The values come from the database and not from this process, so every process of every web pod
answers alike; the client library's registry, which gunicorn's processes would have to
share through files, is not used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .gauges import Gauge, measure

#: Seconds that an answer is good for: however many scrape, the database is asked this often.
KEEP = 5.0
#: Seconds that a scrape waits for one that is under way, which may wait for a frozen database.
PATIENCE = 2.0


class BusyError(Exception):
    """Another scrape is under way and doesn't end; a thread of web must not wait behind it."""


class _Measured(Collector):
    def __init__(self, gauges: list[Gauge]) -> None:
        self.gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, meaning, labels, values in self.gauges:
            family = _family(name, meaning, labels, values)
            for which, value in sorted(values.items()):
                # A gauge and a counter take a number; a histogram its buckets and its sum.
                family.add_metric(which, *(value if isinstance(value, tuple) else (value,)))
            yield family


def _family(name: str, meaning: str, labels: tuple[str, ...], values: Mapping[Any, Any]) -> Any:
    if name.endswith("_total"):
        return CounterMetricFamily(name, meaning, labels=labels)
    if any(isinstance(value, tuple) for value in values.values()):
        return HistogramMetricFamily(name, meaning, labels=labels)
    return GaugeMetricFamily(name, meaning, labels=labels)


def as_text(gauges: list[Gauge]) -> bytes:
    """Return *gauges* in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measured(gauges))
    return generate_latest(registry)


class Page:
    """The page of one process: one question at a time, each answer kept for ``KEEP`` seconds."""

    def __init__(self, ask: Callable[[], list[Gauge]] = measure) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._text = b""
        self._until = 0.0

    def read(self) -> bytes:
        """Return the page.

        :raises BusyError: another thread has been asking for longer than ``PATIENCE`` seconds.
        :raises django.db.Error: see ``measure()``; nothing is kept then.
        """
        if not self._lock.acquire(timeout=PATIENCE):
            raise BusyError
        try:
            if time.monotonic() >= self._until:
                self._text = as_text(self._ask())
                self._until = time.monotonic() + KEEP
            return self._text
        finally:
            self._lock.release()
