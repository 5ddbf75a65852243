"""A small SMTP server on a free port, for tests: real enough for smtplib, and it can refuse."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message


class _Session(socketserver.StreamRequestHandler):
    server: SmtpServer

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 test")
        for raw in self.rfile:
            verb = raw.strip().partition(b" ")[0].upper()
            if verb == b"DATA":
                self.say("354 go on")
                self.server.mails.append(message_from_bytes(self.read_data()))
            if verb == b"RCPT" and self.server.refusals:
                self.say(self.server.refusals.pop(0))
                continue
            if verb == b"RCPT":
                self.server.recipients.append(raw.decode().strip())
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def read_data(self) -> bytes:
        lines: list[bytes] = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line)
        return b"".join(lines)


class SmtpServer(socketserver.ThreadingTCPServer):
    """Keeps what it was sent; *refusals* are its answers to the first recipients, one each."""

    daemon_threads = True

    def __init__(self, refusals: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.refusals = refusals
        self.mails: list[Message] = []
        self.recipients: list[str] = []

    @property
    def url(self) -> str:
        """The value for EMAIL_URL."""
        return f"smtp://127.0.0.1:{self.server_address[1]}"


@contextmanager
def smtp_server(*refusals: str) -> Iterator[SmtpServer]:
    """Run a server while the block runs."""
    with SmtpServer(list(refusals)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
