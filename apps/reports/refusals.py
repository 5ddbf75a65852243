"""Which HTTP status an upload that is refused gets, on the pages and in the API alike."""

from __future__ import annotations

from .errors import UploadError

_STATUS = {
    "too_large": 413,
    "binary": 415,
    "not_csv": 415,
    "interrupted": 400,
    "idempotency_in_progress": 409,
}


def status_of(error: UploadError) -> int:
    """Return the status for *error*: 422, unless HTTP has a better word for it."""
    return _STATUS.get(error.code, 422)
