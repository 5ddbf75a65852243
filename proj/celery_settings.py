"""Celery's settings, each with its reason. proj/settings.py takes them over, so they are Django's.

``CELERY_<NAME>`` in the environment sets any of them, and every other setting that Celery knows,
with Celery's own type (see durable/environment). Where one follows from others it is worked out
last, from what the environment made of those.
"""

from __future__ import annotations

from typing import Any

from durable.environment.celery_settings import celery_settings

from .delivery_settings import DURABLE_DELAY
from .environment import env

if DURABLE_DELAY and not env.text("CELERY_BROKER_URL"):
    # Every task is a row, and nothing needs a broker.
    CELERY_BROKER_URL = ""
    CELERY_BROKER_TRANSPORT = "durable.queue.worker.broker:Transport"
else:
    CELERY_BROKER_URL = env.required(
        "CELERY_BROKER_URL",
        "put redis://:PASSWORD@HOST:6379/0 (or rediss://, sentinel://, amqp://) into "
        "CELERY_BROKER_URL or into the file that CELERY_BROKER_URL_FILE names, or start the stack "
        "with its own broker by `make run`; none is needed with DURABLE_DELAY=true",
    )
CELERY_TIMEZONE = "UTC"

# --- Results -------------------------------------------------------------------------------------

# In django-celery-results' tables; `django-db` is that package's own backend on the same tables.
CELERY_RESULT_BACKEND = "durable.results.backend:DatabaseBackend"
CELERY_CACHE_BACKEND = "default"  # used by the result backend django-cache
CELERY_RESULT_EXTENDED = True  # the admin then shows each task's name and arguments
CELERY_RESULT_EXPIRES = 7 * 24 * 3600.0  # seconds; durable.housekeeping deletes older ones
CELERY_TASK_TRACK_STARTED = True

# --- Where a task goes, and for how long ---------------------------------------------------------

# Which queue a task goes to, in one place; a worker takes from those that WORKER_QUEUES names.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "durable.accounts.tasks.*": {"queue": "mail"},
    "apps.reports.tasks.*": {"queue": "reports"},
}

# Every task has a limit: one that hangs would hold its slot for ever.
CELERY_TASK_TIME_LIMIT = 300.0  # seconds

# --- What keeps a task from getting lost ---------------------------------------------------------

# A message is acknowledged after the task, and goes back when the process that ran it dies.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# Late acknowledgement makes every prefetched message wait behind a running task; one per slot.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1

# SIGTERM (as SIGQUIT, see docker/entrypoint.sh) lets running tasks finish for this long, then
# hands them back to the broker. WORKER_GRACE_PERIOD is longer.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30.0  # seconds

# A worker waits for a broker that is away for as long as it takes.
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A publisher doesn't: the user's request waits behind it.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1}

# A worker's child keeps its connection over this many tasks; durable/database/connections.py makes
# that safe.
CELERY_DB_REUSE_MAX = 1000

# --- Periodic tasks ------------------------------------------------------------------------------

CELERY_BEAT_SCHEDULER = "durable.schedules.scheduler:DatabaseScheduler"

# --- What the environment says, and what follows from it -----------------------------------------

_given = celery_settings(env)
globals().update(_given)

# The exception in the task comes before its process is killed. A hard limit below the soft one
# would have no effect: the pool starts its clock when the soft one is over.
CELERY_TASK_SOFT_TIME_LIMIT = _given.get(
    "CELERY_TASK_SOFT_TIME_LIMIT", 0.9 * CELERY_TASK_TIME_LIMIT
)

if CELERY_BROKER_URL.partition("://")[0] in {"redis", "rediss", "redis+socket", "sentinel"}:
    _longest: float = max(CELERY_TASK_TIME_LIMIT, CELERY_TASK_SOFT_TIME_LIMIT)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        # Redis hands an unacknowledged message to another worker after this time. It exceeds the
        # longest task and the grace period, whatever the environment made of them: else tasks run
        # twice.
        "visibility_timeout": max(
            900, 2 * int(_longest + CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT)
        ),  # seconds
        # Look for what is past that time at each round, every 10 s; kombu skips nine of ten.
        "unacked_restore_throttle": 1,
        # Without them a frozen broker blocks delay() for ever.
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        **_given.get("CELERY_BROKER_TRANSPORT_OPTIONS", {}),
    }
