"""What other code may ask of reports: start an upload, receive one, delete a report."""

from __future__ import annotations

from .errors import (
    CsvError,
    IdempotencyConflict,
    IdempotencyInProgress,
    MissingFile,
    UploadError,
    UploadInterrupted,
)
from .expiry import delete_report
from .uploadhandler import receiving
from .uploads import MAX_KEY_LENGTH, Upload, start_upload

__all__ = [
    "MAX_KEY_LENGTH",
    "CsvError",
    "IdempotencyConflict",
    "IdempotencyInProgress",
    "MissingFile",
    "Upload",
    "UploadError",
    "UploadInterrupted",
    "delete_report",
    "receiving",
    "start_upload",
]
