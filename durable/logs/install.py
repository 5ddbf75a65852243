"""LOG_FORMAT=json beyond LOGGING: programs that write lines of their own."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from typing import Any

from celery import current_app, signals
from celery.utils.log import LoggingProxy, get_multiprocessing_logger

#: Roles whose output is all for the log; that of another command may be a pipe's input.
ALL_OUTPUT = {"migrate", "wait-migrated"}


def install(role: str) -> None:
    """Send everything that *role* would print to the loggers. Their handlers exist already."""
    logging.captureWarnings(True)
    sys.excepthook = log_uncaught
    threading.excepthook = lambda args: log_uncaught(
        args.exc_type, args.exc_value, args.exc_traceback
    )
    signals.setup_logging.connect(instead_of_celerys)
    if role in ALL_OUTPUT:
        sys.stdout = Lines(logging.getLogger("stdout"), logging.INFO)
        sys.stderr = Lines(logging.getLogger("stderr"), logging.ERROR)
        atexit.register(sys.stdout.close)
        atexit.register(sys.stderr.close)


def log_uncaught(kind: Any, error: Any, traceback: Any) -> None:
    """Log the exception that ends the process, or a thread."""
    if kind is KeyboardInterrupt:
        sys.__excepthook__(kind, error, traceback)
    elif kind is not SystemExit:
        logging.getLogger("uncaught").critical(
            "%s", kind.__name__, exc_info=(kind, error, traceback)
        )


def instead_of_celerys(loglevel: Any = None, **kwargs: Any) -> None:
    """Keep Django's handlers where a worker or a beat would set up its own.

    While this is connected, Celery sets up nothing. Children of the pool have it by fork().
    """
    if loglevel:
        logging.getLogger().setLevel(loglevel)
    # What billiard says of processes that it can't start, or that are lost.
    billiards = get_multiprocessing_logger()
    billiards.propagate = True
    billiards.setLevel(logging.ERROR)
    if current_app.conf.worker_redirect_stdouts:
        current_app.log.redirect_stdouts_to_logger(
            logging.getLogger("celery.redirected"), current_app.conf.worker_redirect_stdouts_level
        )


class Lines(LoggingProxy):  # type: ignore[misc]
    """A stream whose lines go to a logger. Celery's has one record for each write() instead."""

    rest = ""

    def write(self, text: str) -> int:
        """Log the lines that are complete; Django writes a migration's line in two parts."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            super().write(line.strip())
        return len(text)

    def close(self) -> None:
        """Log what no end of a line followed."""
        self.write("\n")
        super().close()
