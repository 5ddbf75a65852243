"""The settings of what keeps tasks, results and ticks: durable/queue, durable/results, durable/schedules.

settings.py takes these over. docs/delivery.md says what they are about.
"""

from __future__ import annotations

from .environment import env

# --- Durable tasks: see docs/delivery.md ---------------------------------------------------------

# Every delay() and apply_async() writes a row, those of libraries too; Celery's own calls without.
DURABLE_DELAY = env.boolean("DURABLE_DELAY", False)
# Attempts in a row that end without a word (killed, out of memory) until a task is quarantined.
DURABLE_MAX_ATTEMPTS = env.integer("DURABLE_MAX_ATTEMPTS", 5, least=1)
# Seconds between a worker's signs of life, and without any until its tasks are started elsewhere.
DURABLE_HEARTBEAT = env.integer("DURABLE_HEARTBEAT", 2, least=1)
DURABLE_DEAD_AFTER = env.integer("DURABLE_DEAD_AFTER", 10, least=2)

# --- Results -------------------------------------------------------------------------------------

# Seconds that a task waits for a database that is away, to store its result; then its message goes
# back, and it runs again.
RESULTS_PATIENCE = env.get("RESULTS_PATIENCE", 60.0, float, "a number of seconds")
# false behind a pooler that hands out connections by transaction and loses prepared statements.
RESULTS_PREPARE = env.boolean("RESULTS_PREPARE", True)
DURABLE_PREPARE = RESULTS_PREPARE  # the same statements and connections; and LISTEN

# --- Beat ----------------------------------------------------------------------------------------

# Where the leader's session goes past a pooler, if DATABASE_URL leads to one.
BEAT_DATABASE_URL = env.text("BEAT_DATABASE_URL")
# Seconds without a sign of life after which another beat takes a frozen leader's place.
BEAT_LEADER_TIMEOUT = env.integer("BEAT_LEADER_TIMEOUT", 5, least=2)
# Whether a periodic task that came due while beat or PostgreSQL was down runs once on return.
BEAT_RUN_MISSED = env.boolean("BEAT_RUN_MISSED", True)
