"""The settings of this app: ``RESULTS_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

RESULTS = Declared(
    "RESULTS",
    # Seconds that a task waits, to store its result, for a database that is away; then its message
    # goes back to the broker, and it runs again. Less than the task's time limit leaves it.
    PATIENCE=Setting(60.0),
    # Prepare the statement on each connection. Not through a pooler that hands each transaction to
    # another connection and doesn't follow prepared statements.
    PREPARE=Setting(True),
    # Bytes that a result has at most; a task that returns more has failed. 0: any number.
    MAX_BYTES=Setting(1024 * 1024),
)

#: The same for anybody else: a request that reads a result, the main process of a worker.
SHORT = 2.0

get = RESULTS.get
