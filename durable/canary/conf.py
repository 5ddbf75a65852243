"""The settings of this app: ``CANARY_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

CANARY = Declared(
    "CANARY",
    # Whether there are any.
    ON=Setting(True),
    # Queues without one.
    EXCEPT=Setting(()),
)

get = CANARY.get

#: Seconds that it may take, however much waits before it.
LATE = 600
