"""An upload that was refused, in words for the person who sent it."""

from __future__ import annotations

#: Seconds after which it is worth another try.
_RETRY_AFTER = {"too_many_at_once": 10, "too_many_per_hour": 600, "too_much_waits": 60}
_STATUS = {
    **{"too_large": 413, "binary": 415, "not_csv": 415, "interrupted": 400},
    "idempotency_in_progress": 409,
    # See quota.py.
    **{"too_many_kept": 403, "too_much_kept": 403},
    **{"too_many_at_once": 429, "too_many_per_hour": 429, "too_much_waits": 503},
}


class UploadError(Exception):
    """An upload that was refused; nothing of it is kept.

    :ivar code: a name for programs, e.g. ``ragged_row``.
    :ivar message: one or two sentences for a person.
    :ivar line: the line of the file, counted from 1 as editors do, or ``None``.
    """

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line

    @property
    def status(self) -> int:
        """The HTTP status of the answer, on the pages and in the API alike."""
        return _STATUS.get(self.code, 422)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        seconds = _RETRY_AFTER.get(self.code)
        return {"Retry-After": str(seconds)} if seconds else {}


class UploadInterrupted(UploadError):  # noqa: N818
    """The upload ended early, or its report was deleted meanwhile."""

    def __init__(self, message: str = "The upload was interrupted. Send the file again.") -> None:
        super().__init__("interrupted", message)
