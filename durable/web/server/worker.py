"""gunicorn's threads behind an event loop that receives requests and delivers answers.

Of gthread's threads, each is one client's from the first byte of a request to the last of its
answer; a few that take their time stop the process. Here a thread gets a request of up to
``BUFFER`` bytes, in chunks or not, when all of it is there, and is free when the answer is written;
the loop waits for the client. Larger bodies are read by threads while they come, but by half of
them at most. Probes have threads of their own. What is too slow is ended (limits.py), and when
there are as many connections as there may be, the one that has done nothing for longest makes room.

docker/gunicorn.conf.py names this class. TLS is the proxy's.
"""

from __future__ import annotations

import errno
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from . import answers, limits
from .connection import Connection, head_of, without_expectation


class Stage(Enum):
    """The waits of the loop, in the order in which connections make room for others."""

    LINGERING = selectors.EVENT_READ, "for the client to close"
    IDLE = selectors.EVENT_READ, "for a request to begin"
    RECEIVING = selectors.EVENT_READ, "for the rest of a request"
    SENDING = selectors.EVENT_WRITE, "for the client to take the answer"


class Worker(ThreadWorker):  # type: ignore[misc]
    """One web process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        answers.install()
        # gthread takes no connection beyond these; here one makes room.
        self.room, self.worker_connections = self.cfg.worker_connections, sys.maxsize
        self.waiting: dict[Connection, None] = {}
        self.running = self.uploads = self.handed = 0
        self.ended_at = self.looked_at = time.monotonic()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse TLS, whose handshakes would be made where all clients wait for them."""
        if cfg.is_ssl:
            raise SystemExit(
                "gunicorn's certfile: TLS belongs into the proxy in front of the web role "
                "(or start it with GUNICORN_CMD_ARGS=--worker-class=gthread)"
            )

    def init_process(self) -> None:
        """Make the probes' threads in this process, and serve."""
        self.probes = {path: ThreadPoolExecutor(1) for path in ("/livez", "/readyz")}
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Take a connection; its first request has to begin within ``GRACE`` seconds."""
        try:
            raw, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:  # no file descriptor is left
                self._make_room()
            return  # else another process took it, or the client went away
        raw.setblocking(False)
        if self.nr_conns >= self.room and not self._make_room():
            raw.close()  # all of them have sent a request: this one has to come again
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, raw, client, listener.getsockname())
        self._wait(conn, Stage.IDLE, limits.GRACE)

    def murder_pending(self) -> None:
        """End the connections whose time is over; gthread asks for it at each turn of its loop."""
        now = time.monotonic()
        if now - self.looked_at < 0.5 and self.alive:
            return
        self.looked_at = now
        for conn in list(self.waiting):
            if not self.alive and conn.stage is Stage.IDLE:
                conn.due = min(conn.due, conn.since + limits.STOPPING)
            if conn.due <= now:
                if conn.stage is Stage.RECEIVING:
                    self._refuse(conn, 408, "The request came too slowly.")
                else:
                    self._drop(conn)

    def finish_request(self, conn: Connection, result: Future[Any]) -> None:
        """Deliver what the client hasn't taken yet, and wait for its next request."""
        if not conn.probe:
            self.running -= 1
            self.ended_at = time.monotonic()
        self.uploads -= conn.is_upload
        self.handed -= conn.handed
        stream = conn.sock
        stream.readable = False
        try:
            conn.keep = bool(result.result())
        except BaseException:  # logged where it was raised
            conn.keep, stream.broken = False, True
        if stream.broken:
            self._drop(conn)
        elif stream.unsent:
            self._wait(conn, Stage.SENDING, limits.GRACE)
            self._bound_unsent()
        else:
            self._next(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Answer a request; the rest of an upload that wasn't asked for isn't read."""
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.readable = False

    # --- The loop: waits, and what it does when a client moves

    def _wait(self, conn: Connection, stage: Stage, seconds: float) -> None:
        conn.stage, conn.since = stage, time.monotonic()
        conn.due = conn.since + seconds
        conn.budget.seconds = min(seconds, limits.GRACE)
        self.waiting[conn] = None
        self.poller.register(conn.raw, stage.value[0], partial(self._ready, conn))

    def _leave(self, conn: Connection) -> None:
        del self.waiting[conn]
        self.poller.unregister(conn.raw)

    def _ready(self, conn: Connection, raw: socket.socket) -> None:
        if conn not in self.waiting:
            return  # it made room a moment ago
        try:
            if conn.stage is Stage.SENDING:
                conn.moved(conn.sock.flush())
                if not conn.sock.unsent:
                    self._leave(conn)
                    self._next(conn)
                return
            data = raw.recv(limits.HEAD)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
            conn.sock.broken = True
        if not data or conn.sock.broken:
            self._drop(conn)
        elif conn.stage is not Stage.LINGERING:
            self._receive(conn, data)

    def _receive(self, conn: Connection, data: bytes) -> None:
        if conn.stage is Stage.IDLE:
            conn.stage, conn.since = Stage.RECEIVING, time.monotonic()
            conn.budget.seconds = limits.GRACE
            self.waiting[conn] = self.waiting.pop(conn)  # now the youngest of its stage
        conn.received += data
        conn.moved(len(data))
        head = head_of(conn.received)
        if head is None:
            if len(conn.received) > limits.HEAD:
                self._refuse(conn, 431, "The request's headers are too large.")
        elif head.is_upload:
            self._give_to_thread(conn, True, "")
        elif conn.is_whole(head):
            self._give_to_thread(conn, False, head.probe)
        elif len(conn.received) > limits.BUFFER:  # in chunks
            self._give_to_thread(conn, True, "")
        elif head.expects:
            conn.received, conn.walked = without_expectation(conn.received), 0
            try:
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:  # it went away meanwhile
                self._drop(conn)
        self._bound_received(conn)

    def _give_to_thread(self, conn: Connection, is_upload: bool, probe: str) -> None:
        if is_upload and self.uploads >= max(1, self.cfg.threads // 2):
            self._refuse(conn, 503, "Too many uploads at once. Try again in a moment.")
            return
        if probe == "/livez" and self._is_stuck():
            self._refuse(conn, 503, "stuck: no request has ended for long, and others wait")
            return
        size = len(conn.received)
        if size > limits.HEAD and self.handed + size > limits.RECEIVED:
            self._refuse(conn, 503, "Too many requests of this size. Try again in a moment.")
            return
        self._leave(conn)
        conn.handed, self.handed = size, self.handed + size
        conn.parser.unreader.unread(bytes(conn.received))
        conn.received.clear()
        conn.walked = 0
        conn.is_upload, conn.probe = is_upload, probe
        conn.sock.readable = is_upload
        self.uploads += is_upload
        if probe:
            future = self.probes[probe].submit(self.handle, conn)
        else:
            if self.running < self.cfg.threads:
                self.ended_at = time.monotonic()
            self.running += 1
            future = self.tpool.submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def _is_stuck(self) -> bool:
        """Return whether requests wait for threads of which none comes back."""
        waits = self.running > self.cfg.threads > self.uploads
        return waits and time.monotonic() - self.ended_at > limits.STUCK

    def _next(self, conn: Connection) -> None:
        if not conn.keep:
            self._linger(conn)
            return
        conn.sock.budget.seconds = limits.GRACE
        self._wait(conn, Stage.IDLE, self.cfg.keepalive if self.alive else limits.STOPPING)
        # What the client sent behind its last request is no event of the poller's any more.
        if ahead := conn.parser.unreader.take_buffered():
            self._receive(conn, ahead)

    def _linger(self, conn: Connection) -> None:
        # Closed at once, a client that still sends would lose the answer (RFC 9112, section 9.6).
        try:
            conn.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, Stage.LINGERING, limits.LINGER)

    def _refuse(self, conn: Connection, status: int, why: str) -> None:
        self._leave(conn)
        self.log.info("refused a request of %s: %d, %s", conn.client, status, why)
        try:
            conn.sock.sendall(answers.refusal(status, why))
        except OSError:
            self._close(conn)
        else:
            self._linger(conn)

    def _drop(self, conn: Connection) -> None:
        if conn in self.waiting:
            self._leave(conn)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        util.close(conn.raw)

    # --- Room

    def _make_room(self) -> bool:
        for stage in Stage:
            if conn := next(self._in(stage), None):
                self._drop(conn)
                return True
        return False

    def _bound_received(self, conn: Connection) -> None:
        """Let the large requests that began first go, when clients leave too many of them."""
        if len(conn.received) <= limits.HEAD:
            return
        large = [each for each in self._in(Stage.RECEIVING) if len(each.received) > limits.HEAD]
        held = sum(len(each.received) for each in large)
        for each in large:
            if held <= limits.RECEIVED:
                return
            held -= len(each.received)
            self._drop(each)

    def _bound_unsent(self) -> None:
        """Let the answers that were begun first go, when clients leave too much of them."""
        while sum(len(conn.sock.unsent) for conn in self._in(Stage.SENDING)) > limits.UNSENT:
            self._drop(next(self._in(Stage.SENDING)))

    def _in(self, stage: Stage) -> Iterator[Connection]:
        return (conn for conn in self.waiting if conn.stage is stage)
