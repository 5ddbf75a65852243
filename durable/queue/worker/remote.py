"""Celery's remote commands ``revoke`` and ``terminate``, which end rows that wait as well.

``app.control.revoke()`` does so where it is called. ``celery control revoke``, typed in a
shell, and Flower send the commands alone, which Celery's workers keep in their memory.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

from ..endings import actions
from .receivers import beside_the_loop


@control.control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, *args: Any, **kwargs: Any) -> Any:
    """Revoke tasks by their ids: those that wait for all workers, now and later."""
    _end_rows(task_id)
    return _celerys_revoke(state, task_id, *args, **kwargs)


@control.control_command(
    variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]"
)
def terminate(state: Any, signal: str, task_id: Any, *args: Any, **kwargs: Any) -> Any:
    """Terminate tasks by their ids; those that wait are revoked."""
    _end_rows(task_id)
    return _celerys_terminate(state, signal, task_id, *args, **kwargs)


_celerys_revoke, _celerys_terminate = control.revoke, control.terminate


def _end_rows(task_id: Any) -> None:
    # Every worker hears of it; those that come second find no row, and a stored state.
    beside_the_loop(partial(actions.revoke, list(maybe_list(task_id) or ())))
