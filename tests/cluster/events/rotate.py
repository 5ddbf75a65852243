"""A secret is replaced while everything runs, by the project's own script."""

from __future__ import annotations

import base64

from ...chaos.engine import ChaosError
from ..event import Event, Scene


def rotate(scene: Scene, name: str, secret: str, key: str) -> None:
    """Run ``make rotate-secret NAME=...``; *key* of *secret* must be another one afterwards."""

    def value() -> bytes:
        return base64.b64decode(scene.stack.kubectl.one("secret", secret)["data"][key])

    before = value()
    scene.stack.run("deploy/k8s/rotate-secret", scene.stack.overlay.env_name, name, timeout=900)
    if value() == before:
        raise ChaosError(f"{key} of the Secret {secret} is the same as before")


class KeyRotated(Event):
    """Django's key."""

    name = "secret-key-rotated"
    what = "`make rotate-secret` replaces SECRET_KEY"

    def inject(self, scene: Scene) -> None:
        rotate(scene, "secret_key", "app", "secret_key")


class PostgresRotated(Event):
    """The database's password, which a role can have only one of."""

    name = "postgres-password-rotated"
    what = "`make rotate-secret` replaces PostgreSQL's password"

    def inject(self, scene: Scene) -> None:
        rotate(scene, "postgres", "postgres", "password")


class RedisRotated(Event):
    """The broker's password."""

    name = "redis-password-rotated"
    what = "`make rotate-secret` replaces Redis' password"

    def inject(self, scene: Scene) -> None:
        rotate(scene, "redis", "redis", "password")


class CertificatesRotated(Event):
    """The certificates of the stores, and who signs them."""

    name = "certificates-rotated"
    what = "`make rotate-secret NAME=stores_tls` replaces the stores' certificates"

    def inject(self, scene: Scene) -> None:
        rotate(scene, "stores_tls", "postgres", "tls.crt")


EVENTS: tuple[type[Event], ...] = (KeyRotated, PostgresRotated, RedisRotated, CertificatesRotated)
