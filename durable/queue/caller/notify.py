"""Waking workers after the commit, by a NOTIFY in a statement of its own.

A NOTIFY inside of the transactions would make all commits of the server queue up behind one lock,
for as long as each waits for the disk. One by itself writes nothing, and waits for none. It is a
hint only: a worker looks by itself every ``DURABLE_POLL`` seconds.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, transaction

from .. import conf, store

if TYPE_CHECKING:
    from .template import Call

logger = logging.getLogger(__name__)

#: In a priority's place: a row was written to the queue that needs a place of its key first.
LIMITED = "limited"


def lane(queue: str, priority: object) -> str:
    """Return the name of a lane, as it is sent."""
    return f"{priority} {queue}"


def of(call: Call) -> str:
    """Return what wakes the workers that are to run a call."""
    return lane(call.queue, LIMITED if call.place else call.priority)


class Hint:
    """The lanes that a transaction has written to, woken once it has committed."""

    def __init__(self, name: str) -> None:
        self.lanes = {name}

    def __call__(self) -> None:
        try:
            store.notify(self.lanes)
        except Error as error:  # the commit stands, and the workers look by themselves
            logger.debug("no worker was woken: %s", error)


def after_commit(name: str) -> None:
    """Wake the workers of the lane *name* when the transaction commits; at once without one."""
    connection: Any = connections[conf.alias()]
    if connection.in_atomic_block and connection.run_on_commit:
        savepoints, callback = connection.run_on_commit[-1][:2]
        # The one before, if it goes with this very block: of many calls one statement remains. One
        # that is rolled back with a savepoint inside wakes them for nothing.
        if isinstance(callback, Hint) and savepoints == set(connection.savepoint_ids):
            callback.lanes.add(name)
            return
    transaction.on_commit(Hint(name), using=conf.alias(), robust=True)
