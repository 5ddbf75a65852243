"""Can this process serve? The database answers, and its schema is that of this code.

The question is asked on a connection of its own, not on one of the pool. An exhausted pool means
that the process is busy, not that it is broken: taking it out of service would send its load to
the others, and they would follow one by one. Only when nothing has come back to the pool for
``POOL_PATIENCE`` is it broken, or as good as that. A probe also never waits behind requests for a
connection, and never takes one from them. It costs each web process one idle connection.

The connection belongs to a thread of its own, because a database that is frozen (its kernel keeps
the connection alive) makes a query wait for ever, and libpq has no time limit for that. The
probe stops waiting after ``TIMEOUT``; while a question is under way no second one is asked, so
that nothing piles up, and once the database answers the next probe finds everything in order.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.utils import ConnectionHandler

from durable.database.postgresql.base import exhausted_for
from durable.database.session import labelled

logger = logging.getLogger(__name__)

#: The connection's name: the console knows by it which web processes are ready.
NAME = "proj-readyz"
TIMEOUT = 2.0  # seconds that a probe waits for the database
#: Seconds without a connection of the pool, while the database answers.
POOL_PATIENCE = 60.0

#: The parts of the answer, in their order; the later ones are not known while the first one fails.
DATABASE, MIGRATIONS, CACHE = "database", "migrations", "cache"
UNKNOWN = "unknown"


class Readiness:
    """Asks the database for its state, one question at a time, each within ``TIMEOUT`` seconds.

    :param database: the settings of the connection; those of the default database by default.
    """

    def __init__(self, database: dict[str, object] | None = None) -> None:
        self._settings = database
        self._lock = threading.Lock()
        self._running: _Question | None = None
        self._connection: BaseDatabaseWrapper | None = None
        # Once true they stay true for this process: a schema isn't taken back under running code.
        self._settled: set[str] = set()

    def check(self, timeout: float = TIMEOUT) -> dict[str, str]:
        """Return each part's state, ``ok`` or what is wrong; never waits longer than *timeout*."""
        with self._lock:
            if self._running is None or self._running.done.is_set():
                self._running = _Question(self._ask)
            question = self._running
        if not question.done.wait(timeout):
            return self._with_rest({DATABASE: f"no answer within {timeout:g} s"})
        return question.answer

    def _with_rest(self, known: dict[str, str]) -> dict[str, str]:
        rest = dict.fromkeys((DATABASE, MIGRATIONS, CACHE), UNKNOWN)
        return rest | dict.fromkeys(self._settled, "ok") | known

    def _ask(self) -> dict[str, str]:
        if self._connection is None:
            self._connection = _own_connection(self._settings)
        connection = self._connection
        try:
            connection.close_if_unusable_or_obsolete()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            if (seconds := exhausted_for()) > POOL_PATIENCE:
                lacks = f"answers, but no connection came back to the pool for {seconds:.0f} s"
                return self._with_rest({DATABASE: lacks})
            for part, check in ((MIGRATIONS, _migrations), (CACHE, _cache_tables)):
                if part in self._settled:
                    continue
                if wrong := check(connection):
                    return self._with_rest({DATABASE: "ok", part: wrong})
                self._settled.add(part)
        except Exception as error:
            # The answer is public: no host, no user. The log says what it was.
            logger.warning("readyz: the database can't be used: %s", error)
            connection.close()
            return self._with_rest({DATABASE: "unreachable"})
        return self._with_rest({DATABASE: "ok"})


class _Question:
    """One call of *ask* in a thread, which ends with the process whatever the database does."""

    def __init__(self, ask: Callable[[], dict[str, str]]) -> None:
        self.answer = {DATABASE: "unreachable"}
        self.done = threading.Event()
        threading.Thread(target=self._run, args=(ask,), name="readyz", daemon=True).start()

    def _run(self, ask: Callable[[], dict[str, str]]) -> None:
        try:
            self.answer = ask()
        finally:
            self.done.set()


def _own_connection(database: dict[str, object] | None) -> BaseDatabaseWrapper:
    """Return a connection like the project's, outside of its pool, kept between the probes."""
    config = copy.deepcopy(database or settings.DATABASES[DEFAULT_DB_ALIAS])
    options: dict[str, object] = config.setdefault("OPTIONS", {})  # type: ignore[assignment]
    options.pop("pool", None)
    options["application_name"] = labelled(NAME)
    config["CONN_MAX_AGE"] = None
    connection = ConnectionHandler({DEFAULT_DB_ALIAS: config})[DEFAULT_DB_ALIAS]
    # Each question runs in a thread of its own, one after the other.
    connection.inc_thread_sharing()
    return connection


@cache
def _known_migrations() -> list[Migration]:
    return list(MigrationLoader(None).graph.nodes.values())


def _migrations(connection: BaseDatabaseWrapper) -> str:
    # Not by Django's MigrationExecutor: it reads the table through the alias, which is the pool.
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations')")
        applied: set[tuple[str, str]] = set()
        if cursor.fetchone() != (None,):
            cursor.execute("SELECT app, name FROM django_migrations")
            applied.update(cursor.fetchall())
    missing = [
        migration
        for migration in _known_migrations()
        if (migration.app_label, migration.name) not in applied
        # A squashed one counts as applied when all are that it stands for.
        and not (migration.replaces and applied.issuperset(migration.replaces))
    ]
    return f"{len(missing)} not applied: run docker/entrypoint.sh migrate" if missing else ""


def _cache_tables(connection: BaseDatabaseWrapper) -> str:
    wanted = {
        cache["LOCATION"]
        for cache in settings.CACHES.values()
        if cache["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
    }
    missing = wanted - set(connection.introspection.table_names()) if wanted else set()
    return "its table is missing: run docker/entrypoint.sh migrate" if missing else ""
