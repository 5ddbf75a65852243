"""Which errors are the database's absence, and not the task's failure."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError


def lost_database(error: BaseException | None) -> bool:
    """Tell whether *error*, or what it comes from, is a database that went away or is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (OperationalError, InterfaceError)):
            state = getattr(error.__cause__, "sqlstate", None)
            # No state: the server said nothing. 08: connection. 57P: it shuts down or starts.
            # 53: too many connections. Others (deadlock, timeout) are the task's own.
            if state is None or state[:3] == "57P" or state[:2] in {"08", "53"}:
                return True
        error = error.__cause__ or error.__context__
    return False
