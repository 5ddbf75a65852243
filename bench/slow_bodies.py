"""Clients that send their bodies at one byte a second, and what others get of web meanwhile.

    python -m bench.slow_bodies [--connections 64] [--seconds 60] [--write]
                                [--caddy PROGRAM] [--nginx PROGRAM]

The web role as it is shipped (two processes of four threads), and with gunicorn's own threads in
its place: alone, behind compose's proxy, and behind nginx as deploy/compose/README.md has it. Each
client announces a form of 60 kB or 900 kB, sends a byte each second, and comes again once it is
ended. Beside them, four times a second each, come a probe, a page and a form of 200 kB; an answer
that takes longer than two seconds is none. ``--write`` puts the table into docs/security.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean

from tests.servers import start_postgres, temporary_folder

os.environ["TEST_DATABASE_URL"] = start_postgres(temporary_folder())

import conftest  # noqa: F401 - starts a broker, and sets up Django

# isort: split
from django.core.management import call_command

from bench import page
from tests.fixtures_worker import ROOT, Role
from tests.ports import free_port

#: With a cookie, or the form is refused before it is looked at.
FORM = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Cookie: csrftoken=" + b"a" * 32 + b"\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
)
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ASKED = {
    "`/livez`": GET % b"/livez",
    "a page": GET % b"/accounts/login/",
    "a form of 200 kB": FORM % 200_000 + b"a" * 200_000,
}
#: Seconds until an answer is none.
PATIENCE = 2.0
WORKERS = {"gunicorn's threads": "--worker-class gthread", "ours": ""}


class Attack:
    """Slow clients, as many at any time as were asked for."""

    def __init__(self, port: int, connections: int) -> None:
        self.port, self.held, self.ended = port, [0.0], 0
        self._slots: list[socket.socket | None] = [None] * connections
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Attack:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for sock in filter(None, self._slots):
            sock.close()

    def _run(self) -> None:
        while not self._stop.wait(1):
            held = 0
            for number, sock in enumerate(self._slots):
                if sock and self._sends(sock):
                    held += 1
                    continue
                if sock:
                    self.ended += 1
                    sock.close()
                self._slots[number] = self._begin(60_000 if number % 2 else 900_000)
            self.held.append(held)

    def _begin(self, size: int) -> socket.socket | None:
        with suppress(OSError):
            sock = socket.create_connection(("127.0.0.1", self.port), 1)
            sock.sendall(FORM % size)
            sock.setblocking(False)
            return sock
        return None

    @staticmethod
    def _sends(sock: socket.socket) -> bool:
        try:
            sock.send(b"a")
            sock.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False  # it has an answer, or its end


class Visitor:
    """Asks four times a second for one thing; ``answers`` has the seconds of each answer."""

    def __init__(self, port: int, request: bytes, stop: threading.Event) -> None:
        self.answers: list[float | None] = []
        self._port, self._request, self._stop = port, request, stop
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            began = time.monotonic()
            status = b""
            address = ("127.0.0.1", self._port)
            with suppress(OSError), socket.create_connection(address, PATIENCE) as sock:
                with suppress(BrokenPipeError, ConnectionResetError):
                    sock.sendall(self._request)
                status = sock.recv(12)[9:]
            took = time.monotonic() - began
            good = status in {b"200", b"403"} and took <= PATIENCE
            self.answers.append(took if good else None)

    def told(self) -> str:
        """Return the share that was answered, and the longest of those."""
        took = [answer for answer in self.answers if answer is not None]
        share = f"{100 * len(took) / max(1, len(self.answers)):.0f} %"
        return f"{share} ({max(took) * 1000:.0f} ms)" if took else share


def answers(port: int) -> bool:
    """Return whether web answers at *port*."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
        sock.sendall(GET % b"/livez")
        return sock.recv(12).endswith(b"200")
    return False


def wait_for(port: int) -> None:
    """Wait until web answers at *port*."""
    for _ in range(600):
        if answers(port):
            return
        time.sleep(0.1)
    raise SystemExit(f"no answer at port {port}")


@contextmanager
def web(arguments: str, folder: Path) -> Iterator[int]:
    """Run the web role with more *arguments* for gunicorn."""
    port = free_port()
    env = {
        **os.environ,
        "HEARTBEAT_DIR": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WEB_BIND": f"127.0.0.1:{port}",
        "WEB_CONCURRENCY": "2",
        "WEB_THREADS": "4",
        "GUNICORN_CMD_ARGS": arguments,
    }
    role = Role("web", [], env, folder / "web.log")
    try:
        wait_for(port)
        yield port
    finally:
        role.stop()


@contextmanager
def front(name: str, program: str, upstream: int, folder: Path) -> Iterator[int]:
    """Run a proxy in front of web; return the port that visitors come to."""
    if name == "none":
        yield upstream
        return
    port = free_port()
    there, env = f"127.0.0.1:{upstream}", dict(os.environ)
    if name == "nginx":
        text = (ROOT / "deploy/compose/README.md").read_text("utf-8")
        block = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)[0]
        block = re.sub(r"listen 443 ssl;.*", f"listen 127.0.0.1:{port};", block)
        block = re.sub(r" *ssl_.*\n", "", block).replace("127.0.0.1:8000", there)
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / "nginx.conf"
        config.write_text(
            f"pid {folder}/pid;\nerror_log {folder}/error.log;\nworker_processes 2;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
        )
        command: list[str | Path] = [program, "-p", folder, "-c", config, "-g", "daemon off;"]
    else:
        text = (ROOT / "deploy/compose/proxy/Caddyfile").read_text("utf-8")
        text = text.replace("web:8000", there)
        text = text.replace("/run/proxy", str(folder)).replace("/srv/proxy", str(folder))
        config = folder / "Caddyfile"
        config.write_text(text)
        env |= {"SITE_ADDRESS": f"http://:{port}", "XDG_DATA_HOME": str(folder)}
        command = [program, "run", "--config", config]
    with (folder / "front.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(port: int, connections: int, seconds: float) -> list[str]:
    """Attack *port*; return the cells of a row."""
    stop = threading.Event()
    with Attack(port, connections) as attack:
        time.sleep(3)  # all of them are there
        visitors = [Visitor(port, request, stop) for request in ASKED.values()]
        time.sleep(seconds)
        stop.set()
        for visitor in visitors:
            visitor.thread.join()
    return [f"{mean(attack.held[3:]):.0f}", *(visitor.told() for visitor in visitors)]


def main() -> None:
    """Measure each combination, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_bodies")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="for each line")
    parser.add_argument("--caddy", default=shutil.which("caddy"), help="its program")
    parser.add_argument("--nginx", default=shutil.which("nginx"), help="its program")
    parser.add_argument("--write", action="store_true", help="write docs/security.md")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    fronts = {"none": "-", "compose's (Caddy)": given.caddy, "nginx": given.nginx}
    rows = []
    for name, program in fronts.items():
        for worker, arguments in WORKERS.items():
            if program:
                folder = temporary_folder()
                with (
                    web(arguments, folder) as upstream,
                    front(name, program, upstream, folder) as port,
                ):
                    cells = measure(port, given.connections, given.seconds)
                rows.append([name, worker, *cells])
                print(*rows[-1], sep=" | ", flush=True)
    head = ["proxy", "web's threads", f"held of {given.connections}", *ASKED]
    if given.write:
        text = page.table(head, rows)
        note = f"\n\n{given.seconds:.0f} seconds each. {page.machine()}."
        page.write("bench.slow_bodies", text + note, page.DOCS / "security.md")


if __name__ == "__main__":
    main()
