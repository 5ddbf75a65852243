"""Numbers as people say them."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """Return *seconds* in the two largest units that matter."""
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return "0 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)
    ):  # fmt: skip
        if seconds >= 2 * size or (unit != "d" and seconds >= size):
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {unit} {rest // part} {smaller}" if rest // part else f"{whole} {unit}"
    return f"{seconds:.0f} s"


def many(count: int, noun: str) -> str:
    """Return a number with its noun; one that was not counted to its end has a plus."""
    from durable.queue.overview import CAP

    number = f"{CAP:,}+" if count >= CAP else f"{count:,}"
    return f"{number} {noun}{'' if count == 1 or noun == 'more' else 's'}"


def size(bytes_: float) -> str:
    """Return a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if bytes_ < 1000 or unit == "GB":
            return f"{bytes_:.0f} {unit}" if bytes_ >= 10 or unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1000
    raise AssertionError
