"""An upload that was refused, in words for the person who sent it."""

from __future__ import annotations

_STATUS = {
    **{"too_large": 413, "binary": 415, "not_csv": 415, "interrupted": 400},
    "idempotency_in_progress": 409,
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


class UploadInterrupted(UploadError):  # noqa: N818
    """The upload ended early, or its report was deleted meanwhile."""

    def __init__(self, message: str = "The upload was interrupted. Send the file again.") -> None:
        super().__init__("interrupted", message)
