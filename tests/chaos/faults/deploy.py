"""A deployment, one that goes wrong, and the way back; by the project's own verbs."""

from __future__ import annotations

from ..engine import ChaosError, run
from ..fault import Fault, Scene
from ..stack import Stack


def up(stack: Stack, **env: str) -> bool:
    """Do what ``make up`` does; return whether that succeeded."""
    return stack.script("deploy/compose/up", timeout=300, **env)


def build(stack: Stack, *steps: str) -> None:
    """Let the name of the stack's image mean one that is made from it by *steps*."""
    file = "\n".join([f"FROM {stack.image}", "USER 0", *steps, "USER 10001:10001", ""])
    run("docker", "build", "--quiet", "--tag", stack.image, "-", input=file)


class Verb(Fault):
    """One of the project's own verbs, which visitors must not notice."""

    soak = False
    verb = True
    noticed = False
    uploads = True


class RolledOut(Verb):
    """A new version: its containers beside the old, then in their place."""

    name = "image-rolled-out"
    what = "`make up` with a new image"

    def inject(self, scene: Scene) -> None:
        build(scene.stack, "RUN date >version")
        if not up(scene.stack):
            raise ChaosError("the new version did not start")


class RolledBack(Verb):
    """The new version was a mistake."""

    name = "rolled-back"
    what = "`make rollback` to the image before"

    def prepare(self, scene: Scene) -> None:
        RolledOut().inject(scene)

    def inject(self, scene: Scene) -> None:
        if not scene.stack.script("deploy/compose/rollback"):
            raise ChaosError("the old version did not start")


class UnhealthyVersion(Verb):
    """A new version that starts, and can serve no page."""

    name = "unhealthy-version"
    what = "`make up` with an image whose URLs can't be imported"

    def inject(self, scene: Scene) -> None:
        good = run("docker", "inspect", "--format={{.Id}}", scene.stack.image).stdout.strip()
        build(scene.stack, "RUN echo 'import nowhere' >>proj/urls.py")
        started = up(scene.stack)
        run("docker", "tag", good, scene.stack.image)
        if started:
            raise ChaosError("a version that can serve no page was taken")


class BadSetting(Verb):
    """A setting that the worker refuses; web would start with it."""

    name = "bad-setting"
    what = "`make up` with a setting that workers refuse"

    def inject(self, scene: Scene) -> None:
        (mine := scene.stack.folder / ".env").write_text("CELERY_WORKER_POOL=nonsense\n")
        started = up(scene.stack)
        mine.unlink()
        if started:
            raise ChaosError("a setting that workers refuse was taken")


class SecretRotated(Verb):
    """The key that signs sessions, the token of the metrics, and the password of Redis."""

    name = "secret-rotated"
    what = "`make rotate-secret` of Django's key, of the token of `/metrics`, then of Redis"

    def inject(self, scene: Scene) -> None:
        for name in ("secret_key", "metrics_token", "redis"):
            if not scene.stack.script("deploy/compose/rotate-secret", name):
                raise ChaosError(f"no new secret: {name}")


class PostgresPassword(Verb):
    """The password of PostgreSQL."""

    name = "postgres-password"
    what = "`make rotate-secret` of PostgreSQL"

    def inject(self, scene: Scene) -> None:
        if not scene.stack.script("deploy/compose/rotate-secret", "postgres"):
            raise ChaosError("no new password")


class BrokenMigration(Fault):
    """A new version whose migration fails halfway, and the old version again."""

    name = "broken-migration"
    what = "a new version is deployed whose migration fails halfway, then the old one again"
    soak = False

    def inject(self, scene: Scene) -> None:
        stack = scene.stack
        done = run(
            "docker", "compose", "up", "--detach", "--no-build",
            check=False, timeout=240, cwd=stack.folder,
            env={**stack.env, "CHAOS_BROKEN_MIGRATION": "true"},
        )  # fmt: skip
        if not done.returncode:
            raise ChaosError("a deployment with a broken migration succeeded")

    def heal(self, scene: Scene) -> None:
        scene.stack.compose("up", "--detach", "--no-build", timeout=240)


FAULTS = (
    RolledOut,
    RolledBack,
    UnhealthyVersion,
    BadSetting,
    SecretRotated,
    PostgresPassword,
    BrokenMigration,
)
