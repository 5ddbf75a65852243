"""Behavior while the broker is away, or frozen."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import VISIBILITY_TIMEOUT, conf, transport, transport_option
from .invariant import Finding, invariant

#: Seconds that may pass until a broker that is frozen counts as away.
PATIENCE = 30.0


@invariant(
    "proj.W021",
    f"`socket_timeout` and `socket_connect_timeout` are set, at most {PATIENCE:g} s (Redis)",
    "set both in CELERY_BROKER_TRANSPORT_OPTIONS; 5 s is the default here",
)
def a_frozen_broker_is_noticed() -> Iterator[Finding]:
    """Find sockets that wait for ever: a frozen broker then blocks each call of a task."""
    if VISIBILITY_TIMEOUT.get(transport()) is None or transport() == "sqs":
        return
    for name in ("socket_timeout", "socket_connect_timeout"):
        value = transport_option(name)
        if not value or float(value) > PATIENCE:
            yield (
                f"{name}={value} in CELERY_BROKER_TRANSPORT_OPTIONS: a call of a task waits "
                f"{f'{value} s' if value else 'for ever'} for a broker that is frozen.",
                f'Set CELERY_BROKER_TRANSPORT_OPTIONS={{"{name}": 5}}.',
            )


@invariant(
    "proj.W022",
    "CELERY_BROKER_CONNECTION_RETRY, …_RETRY_ON_STARTUP, and …_MAX_RETRIES = none",
    "leave them at true, true and unset",
)
def a_worker_waits_for_its_broker() -> Iterator[Finding]:
    """Find workers that end when the broker is away for a while."""
    for name in ("broker_connection_retry", "broker_connection_retry_on_startup"):
        if not conf()[name]:
            yield (
                f"CELERY_{name.upper()}=false: a worker ends when the broker is away.",
                f"Leave CELERY_{name.upper()} at true.",
            )
    if tries := conf().broker_connection_max_retries:
        yield (
            f"CELERY_BROKER_CONNECTION_MAX_RETRIES={tries}: a worker ends after {tries} tries "
            "while the broker is away.",
            "Leave CELERY_BROKER_CONNECTION_MAX_RETRIES unset: a worker waits for as long as it "
            "takes.",
        )


@invariant(
    "proj.W023",
    "`max_retries` of CELERY_TASK_PUBLISH_RETRY_POLICY is a number, at most 5",
    "set it to 1; `delay_on_commit()` asks no broker",
)
def a_publisher_gives_up() -> Iterator[Finding]:
    """Find a policy that lets a request wait for ever for a broker that is away."""
    tries = (conf().task_publish_retry_policy or {}).get("max_retries")
    if conf().task_publish_retry and (tries is None or not 0 <= int(tries) <= 5):
        yield (
            f"max_retries={tries} in CELERY_TASK_PUBLISH_RETRY_POLICY: a request that calls "
            f"delay() {'waits for ever' if tries is None else f'tries {tries} times'} while the "
            "broker is away.",
            'Set CELERY_TASK_PUBLISH_RETRY_POLICY={"max_retries": 1, "interval_start": 0.1}.',
        )
