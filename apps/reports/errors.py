"""What can go wrong with an upload, in words for the person who sent it."""

from __future__ import annotations


class UploadError(Exception):
    """An upload that was refused; nothing of it is kept.

    :ivar code: a name for programs, e.g. ``ragged_row``.
    :ivar message: one or two sentences for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class CsvError(UploadError):
    """The content is no CSV file that can be profiled.

    The codes: ``empty``, ``header_only``, ``not_csv``, ``binary``, ``wrong_encoding``,
    ``ragged_row``, ``duplicate_column``, ``empty_column``, ``too_many_columns``,
    ``record_too_long``, ``unclosed_quote``, ``too_large``.

    :ivar line: the line of the file, counted from 1 as editors do, or ``None``.
    """

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(code, message)
        self.line = line


class MissingFile(UploadError):  # noqa: N818
    """The request holds no file, or not exactly one (code ``missing_file``)."""

    def __init__(self, message: str) -> None:
        super().__init__("missing_file", message)


class UploadInterrupted(UploadError):  # noqa: N818
    """The upload ended early, or its report was deleted meanwhile (code ``interrupted``)."""

    def __init__(self, message: str = "The upload was interrupted. Send the file again.") -> None:
        super().__init__("interrupted", message)


class IdempotencyConflict(UploadError):  # noqa: N818
    """The key was used for another content (code ``idempotency_conflict``)."""

    def __init__(self) -> None:
        super().__init__(
            "idempotency_conflict",
            "This idempotency key was used for a file with another content. "
            "Use a new key for a new file.",
        )


class IdempotencyInProgress(UploadError):  # noqa: N818
    """An upload with this key has not ended yet (code ``idempotency_in_progress``)."""

    def __init__(self) -> None:
        super().__init__(
            "idempotency_in_progress",
            "An upload with this idempotency key is in progress. Try again when it has ended.",
        )
