"""Which errors are the database's absence, and not the task's failure."""

from __future__ import annotations

from django.db.utils import DatabaseErrorWrapper

from durable.database.retry import is_away

#: Django's errors don't say of which database they are; the frame that raised them does.
_RAISES = DatabaseErrorWrapper.__exit__.__code__


def lost_database(error: BaseException | None, alias: str) -> bool:
    """Tell whether *error*, or what it comes from, is the database *alias*, away or full.

    What a task has raised ``from None`` in the place of such an error is the task's own.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if is_away(error):
            state = getattr(error.__cause__, "sqlstate", None)
            # No state: the server said nothing. 08: connection. 57P: it shuts down or starts.
            # 53: too many connections. 25006: a pooler leads to what is a replica by now.
            # Others (deadlock, timeout) are the task's own.
            away = state is None or state[:3] == "57P" or state[:2] in {"08", "53"}
            away = away or state == "25006"
            if away and _alias_of(error) == alias:
                return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _alias_of(error: BaseException) -> str | None:
    """Return the alias of the database whose connection raised *error*; ``None``: no database."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is _RAISES:
            wrapper = trace.tb_frame.f_locals.get("self")  # not if somebody has cleared the frame
            return wrapper.wrapper.alias if wrapper else None
        trace = trace.tb_next
    return None
