"""The settings of what keeps tasks, results and ticks: queue, results, schedules of durable/.

settings.py takes these over. docs/delivery.md says what they are about.
"""

from __future__ import annotations

from durable.alerts.conf import ALERT as _ALERT
from durable.alerts.conf import PING as _PING
from durable.canary.conf import CANARY as _CANARY
from durable.console.conf import OPS as _OPS
from durable.journal.conf import HISTORY as _HISTORY
from durable.results.conf import RESULTS as _RESULTS
from durable.schedules.conf import BEAT as _BEAT

from .environment import env

# --- Durable tasks: see docs/delivery.md ---------------------------------------------------------

# Every delay() and apply_async() writes a row, those of libraries too; Celery's own calls without.
DURABLE_DELAY = env.boolean("DURABLE_DELAY", False)
# Attempts in a row that end without a word (killed, out of memory) until a task is quarantined.
DURABLE_MAX_ATTEMPTS = env.integer("DURABLE_MAX_ATTEMPTS", 5, least=1)
# Seconds between a worker's signs of life, and without any until its tasks are started elsewhere.
DURABLE_HEARTBEAT = env.integer("DURABLE_HEARTBEAT", 2, least=1)
DURABLE_DEAD_AFTER = env.integer("DURABLE_DEAD_AFTER", 10, least=2)
# Bytes that the message of a plain call has at most; a larger one belongs into a row. 0: any.
DURABLE_MESSAGE_MAX_BYTES = env.integer("DURABLE_MESSAGE_MAX_BYTES", 512 * 1024)

# --- Results, beat, journal: declared in the conf.py of each, below durable/ ---------------------

_declared = _OPS.given(env) | _HISTORY.given(env) | _RESULTS.given(env) | _BEAT.given(env)
_declared |= _ALERT.given(env) | _PING.given(env) | _CANARY.given(env)
globals().update(_declared)
DURABLE_PREPARE = _declared["RESULTS_PREPARE"]  # the same statements and connections; and LISTEN
