"""The stores' pods are deleted in order, as an update of a node or an image does."""

from __future__ import annotations

from ...chaos.engine import ChaosError
from ..event import Event, Scene


class PostgresDeleted(Event):
    """The pod goes and comes back with its volume."""

    name = "postgres-deleted"
    what = "the PostgreSQL pod is deleted; its data stays"

    def inject(self, scene: Scene) -> None:
        kept = "SELECT min(at) FROM chaos_operation"
        before = scene.stack.sql(kept)
        scene.stack.kubectl("delete", "pod", "postgres-0")
        scene.stack.wait_healthy()
        if scene.stack.sql(kept) != before:
            raise ChaosError("PostgreSQL came back without its data")


class RedisDeleted(Event):
    """The same for the broker."""

    name = "redis-deleted"
    what = "the Redis pod is deleted; its data stays"

    def inject(self, scene: Scene) -> None:
        scene.stack.redis("SET", "kept", "by the volume")
        scene.stack.kubectl("delete", "pod", "redis-0")
        scene.stack.wait_healthy()
        if scene.stack.redis("GETDEL", "kept") != "by the volume":
            raise ChaosError("Redis came back without its data")


EVENTS: tuple[type[Event], ...] = (PostgresDeleted, RedisDeleted)
