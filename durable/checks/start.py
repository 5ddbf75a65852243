"""The check before a role starts: an error ends it, warnings go to the log.

Inside of the process that starts (gunicorn's on_starting, Celery's worker_init and beat_init),
where Django and the tasks are loaded anyway: a ``manage.py check`` before it would cost one more
start of Python and of Django each time. Nothing here asks a server.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.conf import settings
from django.core.checks import ERROR, CheckMessage, run_checks

from durable.environment.reader import ConfigurationError

from .invariant import TAG

logger = logging.getLogger(__name__)

#: The invariants of this app, and those that the queue has itself.
TAGS = (TAG, "durable")


def found() -> list[CheckMessage]:
    """Return what contradicts the invariants, without what was silenced."""
    messages = run_checks(tags=TAGS, include_deployment_checks=True)
    return [message for message in messages if not message.is_silenced()]


def told(messages: Iterable[CheckMessage]) -> str:
    """Return *messages* as a person reads them: what, and below it what to change."""
    return "\n".join(f"{m.id}: {m.msg}\n    {m.hint}" for m in messages)


def check_before_start() -> None:
    """Check the settings of the role that this process is about to play.

    Does nothing in a process that plays none: a command typed by hand must be able to mend things.

    :raises ConfigurationError: an error; the process ends with what it says, and no traceback.
    """
    if not settings.ROLE:
        return
    messages = found()
    errors = [message for message in messages if message.level >= ERROR]
    for message in messages:
        if message not in errors:
            logger.warning("%s", told([message]))
    if errors:
        raise ConfigurationError(
            f"{settings.ROLE} does not start: its settings would lose or double work.\n"
            f"{told(errors)}\n"
            "All of them: python manage.py check --deploy; what each compares: "
            "docs/settings-checks.md"
        )
