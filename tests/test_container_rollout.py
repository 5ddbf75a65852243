"""A new version, a way back, another key: while visitors come, and none of their requests fails."""

from __future__ import annotations

import json
import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from secrets import token_urlsafe
from threading import Event, Thread

import pytest

from .cluster.events.upload import CREATE
from .containers import Stack, inspect, run, wait_until
from .http_client import Visitor
from .visitors import visitors

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

ROLES = ("web", "worker", "beat")


def upload(stack: Stack, until: Event) -> int:
    """Send the example a file of 300 MB, or as much as until *until* is set; return the status."""
    visitor = Visitor(stack.port)
    stack.manage(CREATE.format(name="grace", password=(password := token_urlsafe(16))))
    visitor.log_in("grace", password)

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\na,b\n'
        for _ in range(300):
            yield b"1,2\n" * (1024**2 // 4)
            if until.wait(0.1):
                break
        yield b"\r\n--x--\r\n"

    answer = visitor.request("/api/reports", body(), Content_Type="multipart/form-data; boundary=x")
    return answer.status


def images(stack: Stack) -> set[str]:
    return {container["Image"] for container in inspect(*stack.ids(*ROLES))}


@contextmanager
def version(stack: Stack, *steps: str) -> Iterator[None]:
    """Let the stack's image name mean one that is made from it by *steps*, for a while."""
    (before,) = inspect(stack.image)
    file = "\n".join([f"FROM {stack.image}", "USER 0", *steps, "USER 10001:10001", ""])
    run("docker", "build", "--quiet", "--tag", stack.image, "-", input=file)
    try:
        yield
    finally:
        run("docker", "tag", before["Id"], stack.image)


def test_a_new_version_and_the_way_back_fail_no_request_and_no_upload(stack: Stack) -> None:
    old = images(stack)
    (web,) = stack.ids("web")
    drains = Event()
    statuses: list[int] = []

    def draining() -> bool:
        marker = ("docker", "exec", web, "test", "-e", "/tmp/proj-web.draining")  # noqa: S108
        return not run(*marker, check=False).returncode

    def finish() -> None:
        wait_until(draining, "the old web drains")
        drains.set()

    threads = [Thread(target=finish)]
    if find_spec("apps.reports"):
        threads.append(Thread(target=lambda: statuses.append(upload(stack, drains))))
    with visitors(stack.port), version(stack, "RUN echo 2 >version"):
        for thread in threads:
            thread.start()
        stack.run("make", "up")
        for thread in threads:
            thread.join()
        assert set(statuses) <= {202}
        assert len(new := images(stack)) == 1
        assert new != old
        with engine_elsewhere() as host:
            stack.run("make", "rollback", env={"DOCKER_HOST": host})
        assert images(stack) == old
    assert [len(stack.ids(role)) for role in ROLES] == [1, 1, 1]


@pytest.mark.parametrize(
    ("steps", "env", "words"),
    [
        ("RUN echo 'import nowhere' >>proj/urls.py", "", "No module named 'nowhere'"),
        ("", "CELERY_WORKER_POOL=nonsense", "'nonsense' is not one of"),
    ],
    ids=["a version whose URLs can't be imported", "a setting that the worker refuses"],
)
def test_what_does_not_become_healthy_is_removed_and_the_old_goes_on(
    stack: Stack, steps: str, env: str, words: str
) -> None:
    before = stack.ids(*ROLES)
    (stack.folder / ".env").write_text(f"{env}\n")
    with visitors(stack.port), version(stack, steps):
        done = stack.run("deploy/compose/up", check=False)
    (stack.folder / ".env").unlink()
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "up: the new version is not healthy, its lines are above; the running one was left alone"
    )
    assert stack.ids(*ROLES) == before


def test_a_new_key_fails_no_request_and_two_at_once_wait_for_each_other(stack: Stack) -> None:
    before = stack.ids(*ROLES)
    with visitors(stack.port):
        first = Thread(target=stack.run, args=["make", "rotate-secret", "NAME=secret_key"])
        first.start()
        wait_until(lambda: len(stack.ids("web")) == 2, "the first one has begun")
        said = stack.run("deploy/compose/up").stderr
        first.join()
    assert "is at work here; waiting for it" in said
    assert not set(stack.ids(*ROLES)) & set(before)
    assert [len(stack.ids(role)) for role in ROLES] == [1, 1, 1]


@contextmanager
def engine_elsewhere() -> Iterator[str]:
    """Lead a port to the engine's socket, as ``ssh`` does; yield what goes into DOCKER_HOST."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect("/var/run/docker.sock")
                there = Thread(target=carry, args=[self.request, engine])
                there.start()
                carry(engine, self.request)
                there.join()

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_each_verb_reaches_a_stack_on_another_machine(stack: Stack) -> None:
    before = stack.ids(*ROLES)
    with engine_elsewhere() as host:

        def make(*words: str, check: bool = True) -> str:
            command = ("make", "--no-print-directory", *words)
            return stack.run(*command, env={"DOCKER_HOST": host}, check=check).stdout

        assert make("rotate-secret", "NAME=metrics_token").endswith("is another one now\n")
        after = stack.ids(*ROLES)
        assert len(after) == len(before)
        assert not set(after) & set(before)
        assert make("up").splitlines()[-1].startswith("http://")
        assert "2 workers consume (1 before)" in make("scale-workers", "N=2")
        assert "1 worker consumes (2 before)" in make("scale-workers", "N=1")
        assert ".dump: " in make("backup")
        lines = json.loads(make("doctor", "JSON=1", check=False))["lines"]
        rows = {(row["part"], row["name"]): row for row in lines}
        assert rows["containers", "web"]["says"] == "1 of 1 well"
        # The disk is the engine's; that of this machine says nothing.
        assert ("machine", "disk") not in rows
        assert rows["disk", "/app"]["says"].endswith("in use")
