"""The metrics of every app: the ``metrics()`` of each `metrics.py`, asked when somebody scrapes.

A plain tuple, so that an app that measures something imports nothing from here::

    def metrics():
        yield "proj_workers", "Workers with a recent sign of life.", (), {(): 3.0}
        yield "proj_tasks_ready", "Tasks that are ready.", ("queue",), {("default",): 2.0}

A name that ends in ``_total`` is a counter; a value that is a tuple of buckets and sum, as
``([("0.1", 3.0), ("+Inf", 4.0)], 1.7)``, makes a histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from durable.discovery import modules

#: The buckets of a histogram (upper bound, how many up to it), and the sum.
Histogram: TypeAlias = "tuple[Sequence[tuple[str, float]], float]"
#: Name, meaning, names of the labels, and a value for each combination of the labels' values.
Gauge: TypeAlias = "tuple[str, str, tuple[str, ...], Mapping[tuple[str, ...], float | Histogram]]"

#: Milliseconds that PostgreSQL may spend on one question; a scrape that takes longer fails.
STATEMENT_TIMEOUT = 3000


@cache
def sources() -> list[Callable[[], Iterable[Gauge]]]:
    """Return the function ``metrics`` of every `metrics.py` (see durable/discovery.py)."""
    return [module.metrics for module in modules("metrics") if hasattr(module, "metrics")]


def measure() -> list[Gauge]:
    """Ask every app once, in one transaction with a limit on each statement.

    :raises django.db.Error: the database is away, or needs longer than ``STATEMENT_TIMEOUT``.
    """
    # LOCAL: through a pool or a pooler, the connection's next user must not inherit it.
    with transaction.atomic(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT:d}")
        return [gauge for source in sources() for gauge in source()]
