"""A secret is replaced while everything runs."""

from __future__ import annotations

import base64
import hashlib

from ...chaos.engine import ChaosError
from ..event import Event, Scene

#: What a web process holds; a digest, because it gets into logs.
DIGEST = (
    "import hashlib; from django.conf import settings;"
    "print(hashlib.sha256(settings.SECRET_KEY.encode()).hexdigest())"
)


class Rotated(Event):
    """Its key is taken away, the generator writes another one, and the pods follow."""

    name = "secret-rotated"
    what = "SECRET_KEY is taken out of its Secret and generated anew; the pods are rolled"

    def inject(self, scene: Scene) -> None:
        kubectl = scene.stack.kubectl

        def key() -> str:
            secret = kubectl.one("secret", "app")
            return base64.b64decode(secret["data"].get("secret_key", "")).decode()

        before = key()
        remove = '[{"op": "remove", "path": "/data/secret_key"}]'
        kubectl("patch", "secret", "app", "--type=json", f"--patch={remove}")
        after = str(kubectl.wait(key, "another SECRET_KEY is generated", 90))
        if after == before:
            raise ChaosError("SECRET_KEY is the same as before")
        scene.stack.restart()
        if scene.stack.manage(DIGEST) != hashlib.sha256(after.encode()).hexdigest():
            raise ChaosError("web does not use the new SECRET_KEY")
