"""What was tried in vain with a row: its history, how often, and the pause until the next try."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from durable.database.text import storable

from .sql import run

#: Seconds between two tries: 1, 2, 4, … and at most this.
LONGEST_PAUSE = 600

#: How the line of a row's history begins that ends what was counted before.
AGAIN = "started again by "

#: Appends to the history, with the time and the start, and keeps it from growing without end.
APPEND = """history = CASE WHEN jsonb_array_length(history) >= 50 THEN history - 0 ELSE history END
    || jsonb_build_array(%(note)s::jsonb || jsonb_build_object(
        'at', clock_timestamp(), 'start', starts, 'worker', worker))"""


def note(what: str, **more: Any) -> Jsonb:
    """Return one line of a row's history."""
    return Jsonb({"what": storable(what), **more})


def count(whats: Iterable[str], what: str, in_a_row: bool = True) -> int:
    """Return how many lines begin with *what* since a person has started the row again.

    :param whats: what the lines of its history say, the latest first.
    :param in_a_row: another line in between ends the count.
    """
    times = 0
    for line in whats:
        if line.startswith(AGAIN):
            break
        if line.startswith(what):
            times += 1
        elif in_a_row:
            break
    return times


def lines(history: Iterable[dict[str, Any]]) -> list[str]:
    """Return what the lines of a row's *history* say, the latest first."""
    return [line["what"] for line in reversed(list(history))]


def postpone(row_id: int, why: str, times: int, ends: bool = False, **more: Any) -> int:
    """Let the row be sent again after a pause, the longer the more *times* it was tried.

    The caller holds the row's lock.

    :param ends: this ends its start, which doesn't count as a crash.
    :param more: kept in the history as well.
    :return: the pause, in seconds.
    """
    pause: int = min(LONGEST_PAUSE, 2 ** (times - 1))
    run(
        f"""UPDATE durable_task SET {APPEND}, error = %(why)s,
                due_at = clock_timestamp() + %(pause)s * interval '1 s',
                worker = CASE WHEN NOT %(ends)s THEN worker END,
                reported = CASE WHEN %(ends)s THEN starts ELSE reported END
            WHERE id = %(id)s""",  # noqa: S608 - constants
        {
            "id": row_id, "why": storable(why), "note": note(why, **more), "pause": pause,
            "ends": ends,
        },
    )  # fmt: skip
    return pause
