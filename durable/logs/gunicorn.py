"""gunicorn's two logs as JSON; docker/gunicorn.conf.py names this class."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

from durable.client_address import client_address

from .context import sane
from .formatter import JsonFormatter


class JsonLogger(Logger):  # type: ignore[misc]
    """Writes where gunicorn's own writes, from its first line on."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(JsonFormatter())

    def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
        """Write one request; its query and its headers may be secrets, and are not."""
        if not self.access_log_enabled:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        self.access_log.info(
            "request",
            extra={
                "request_id": sane(headers.get("x-request-id")),
                "address": client_address(environ) or None,
                "method": environ.get("REQUEST_METHOD"),
                "path": environ.get("PATH_INFO"),
                "status": resp.status_code,
                "size": getattr(resp, "sent", None),
                "duration": request_time.total_seconds(),
            },
        )
