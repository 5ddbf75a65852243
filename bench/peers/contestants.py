"""The peers: how each is started, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field

PEERS = "bench.peers.settings"
PROCRASTINATE = ("django-admin", "procrastinate", "worker")
DURABLE = "durable"


@dataclass(frozen=True, eq=False)
class Contestant:
    """One row of the table."""

    name: str
    adapter: str  #: in bench/peers/adapters
    command: tuple[str, ...]  #: by docker/entrypoint.sh, which runs what is no role as it stands
    pace: tuple[int, int]  #: tasks a second, roughly, that write a row or do nothing
    guarantee: str  #: a worker that is killed does this to a task
    with_caller: bool  #: a task is committed, or not, with the rows of its caller
    result: str  #: where what the task returned is
    batch: int = 0  #: rows taken at a time, where that can be set
    processes: int = 1  #: how often the command is started, to make two processes that work
    settings: str = PEERS
    env: dict[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """True for this project."""
        return self.adapter == DURABLE


def pgqueuer(batch: int, pace: tuple[int, int]) -> Contestant:
    """Return PgQueuer, which takes *batch* jobs at a time."""
    return Contestant(
        name=f"PgQueuer, {batch} at a time",
        adapter="pgqueuer",
        command=("python", "-m", "bench.peers.adapters.pgqueuer", str(batch)),
        batch=batch,
        processes=2,
        pace=pace,
        guarantee="at least once",
        with_caller=False,
        result="–",
    )


def durable(batch: int, pace: tuple[int, int]) -> Contestant:
    """Return this project; a *batch* of 0 is Celery's prefork pool."""
    return Contestant(
        name=f"durable, {batch} at a time" if batch else "durable, prefork",
        adapter=DURABLE,
        command=("worker",),
        batch=batch,
        env={
            "WORKER_BATCH": str(batch),
            "CELERY_WORKER_CONCURRENCY": "2",
            "CELERY_IMPORTS": "bench.peers.tasks",
        },
        settings="proj.settings",
        pace=pace,
        guarantee="exactly once",
        with_caller=True,
        result="PostgreSQL, with the effect",
    )


def celery(name: str, settings: str, pace: tuple[int, int], result: str) -> Contestant:
    """Return Celery with the settings of somebody else."""
    command = ("celery", "-A", "bench.peers.adapters.celery", "worker", "-l", "INFO", "-c", "2")
    return Contestant(
        name=name,
        adapter="celery",
        command=command,
        settings=settings,
        pace=pace,
        guarantee="at most once",
        with_caller=False,
        result=result,
    )


#: The others are so many times as fast.
DOCUMENTED = celery(
    "Celery, its documentation's settings", "bench.documented_settings", (80, 100), "PostgreSQL"
)
CONTESTANTS = [
    durable(0, (400, 500)),
    durable(1, (600, 700)),
    durable(10, (1800, 2500)),
    durable(100, (3000, 4000)),
    pgqueuer(1, (300, 400)),
    pgqueuer(10, (2000, 4000)),
    pgqueuer(100, (3500, 11000)),
    Contestant(
        name="Procrastinate",
        adapter="procrastinate",
        command=PROCRASTINATE,
        processes=2,
        pace=(400, 400),
        guarantee="at most once; at least once with a task of yours that retries stalled jobs",
        with_caller=True,
        result="–",
    ),
    Contestant(
        name="django-tasks, database worker",
        adapter="django_tasks",
        command=("django-admin", "db_worker"),
        processes=2,
        pace=(300, 350),
        guarantee="at most once",
        with_caller=True,
        result="PostgreSQL",
    ),
    Contestant(
        name="Dramatiq (8 threads in each process)",
        adapter="dramatiq",
        command=("dramatiq", "--processes", "2", "bench.peers.adapters.dramatiq"),
        pace=(2500, 3500),
        guarantee="at least once",
        with_caller=False,
        result="–",
    ),
    Contestant(
        name="Huey",
        adapter="huey",
        command=("django-admin", "run_huey"),
        pace=(1500, 3000),
        guarantee="at most once",
        with_caller=False,
        result="Redis",
    ),
    Contestant(
        name="RQ",
        adapter="rq",
        command=("python", "-m", "bench.peers.adapters.rq"),
        processes=2,
        pace=(60, 75),
        guarantee="at most once",
        with_caller=False,
        result="Redis, 500 s",
    ),
    celery(
        "Celery, cookiecutter-django's settings",
        "bench.peers.cookiecutter_settings",
        (300, 400),
        "Redis, a day",
    ),
    DOCUMENTED,
]
