"""Every event, in the order in which they run."""

from __future__ import annotations

from importlib.util import find_spec

from ..event import Event
from . import broken_nodes, deploy, kill, restart, rotate, scale, upload

ALL: tuple[type[Event], ...] = (
    deploy.AppliedAgain,
    # With the example goes what only it can do.
    *([upload.Uploaded] if find_spec("apps.reports") else []),
    scale.Scaled,
    broken_nodes.Drained,
    # The drained node is empty until pods are made anew.
    deploy.RolledOut,
    deploy.RolledBack,
    *kill.EVENTS,
    *restart.EVENTS,
    *rotate.EVENTS,
    deploy.BrokenMigration,
    broken_nodes.NodeStopped,
    broken_nodes.StoreNodeStopped,
)
BY_NAME: dict[str, type[Event]] = {event.name: event for event in ALL}

#: Those that run with all other tests: what they leave out resembles one that is among them.
SHORT: tuple[type[Event], ...] = tuple(
    event
    for event in ALL
    if event
    not in {
        deploy.RolledBack,
        *rotate.EVENTS,
        kill.BeatKilled,
        restart.PostgresDeleted,
        restart.RedisDeleted,
        broken_nodes.StoreNodeStopped,
    }
)

#: Those that visitors may notice: pods with requests in them die, or the database is away.
NOTICED = frozenset(
    event.name
    for event in (
        kill.WebKilled,
        kill.PostgresKilled,
        restart.PostgresDeleted,
        broken_nodes.NodeStopped,
        broken_nodes.StoreNodeStopped,
    )
)
