"""Every event, in the order in which they run."""

from __future__ import annotations

from ..event import Event
from . import broken_nodes, deploy, kill, restart, rotate, scale, upload

ALL: tuple[type[Event], ...] = (
    deploy.AppliedAgain,
    upload.Uploaded,
    scale.Scaled,
    *deploy.ROLLOUTS,
    *kill.EVENTS,
    *restart.EVENTS,
    rotate.Rotated,
    deploy.BrokenMigration,
    # The last ones: they leave every pod on other nodes than the scheduler would choose.
    *broken_nodes.EVENTS,
)
BY_NAME: dict[str, type[Event]] = {event.name: event for event in ALL}

#: Those that no visitor may notice. Where a pod with requests in it is killed, some must fail.
UNSEEN = frozenset(BY_NAME) - {
    event.name
    for event in (
        kill.WebKilled,
        kill.PostgresKilled,
        restart.PostgresDeleted,
        broken_nodes.NodeStopped,
        broken_nodes.StoreNodeStopped,
    )
}
