"""``manage.py durable_batch``: a worker that serves rows in batches; the role worker starts it."""

from __future__ import annotations

import sys
from typing import Any

from celery import current_app
from celery.concurrency import get_available_pool_names
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu.utils.imports import symbol_by_name


class Command(BaseCommand):
    """Serves durable tasks in batches, by processes without a broker (docs/batches.md)."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=100, help="tasks of one batch at most")
        parser.add_argument("-c", "--concurrency", type=int, default=0, help="processes")
        parser.add_argument("-Q", "--queues", default="", help="names of queues, with commas")
        parser.add_argument("-l", "--loglevel", default="INFO")

    def handle(self, *args: Any, **options: Any) -> None:
        from celery.utils.log import mlevel

        from durable.queue.batch.supervisor import Supervisor

        app = current_app._get_current_object()
        _refuse_unknown_pool(app.conf.worker_pool)
        app.log.setup(mlevel(options["loglevel"]), redirect_stdouts=False, colorize=False)
        queues = [name for name in options["queues"].split(",") if name]
        concurrency = options["concurrency"] or app.conf.worker_concurrency or 2
        supervisor = Supervisor(
            app, max(1, options["batch"]), int(concurrency),
            queues or [app.conf.task_default_queue],
        )  # fmt: skip
        sys.exit(supervisor.run())


def _refuse_unknown_pool(pool: Any) -> None:
    """Refuse what another worker would: it has no say here, and is meant for those beside."""
    names = get_available_pool_names()
    if not isinstance(pool, str) or pool in names:
        return
    try:
        symbol_by_name(pool)
    except (ImportError, AttributeError, ValueError) as error:
        raise CommandError(
            f"CELERY_WORKER_POOL={pool}: expected one of {', '.join(names)} "
            f"or module:Class ({error})"
        ) from error
