"""A worker that runs on and reaches one store, the other or neither."""

from __future__ import annotations

from typing import ClassVar

from ..fault import Fault, Scene
from .workers import make_busy


class Cut(Fault):
    """One of two workers is disconnected; its packets reach nothing, and no error says so."""

    lasts = 25.0
    networks: ClassVar[tuple[str, ...]]
    worker = ""

    def inject(self, scene: Scene) -> None:
        make_busy(scene, 5)  # they end while it is cut off
        self.worker = scene.random.choice(scene.stack.ids("worker"))
        for name in self.networks:
            scene.stack.network("disconnect", name, self.worker)

    def heal(self, scene: Scene) -> None:
        for name in self.networks:
            scene.stack.network("connect", name, self.worker)


class FromRedis(Cut):
    """It runs what it has, and can't say that it did."""

    name = "cut-from-redis"
    what = "a worker can't reach Redis for 25 s"
    networks = ("broker",)


class FromPostgres(Cut):
    """It gets tasks, and can't start them."""

    name = "cut-from-postgres"
    what = "a worker can't reach PostgreSQL for 25 s"
    networks = ("backend",)


class FromBoth(Cut):
    """It is alone."""

    name = "cut-from-both"
    what = "a worker can reach neither store for 25 s"
    networks = ("backend", "broker")


FAULTS = (FromRedis, FromPostgres, FromBoth)
