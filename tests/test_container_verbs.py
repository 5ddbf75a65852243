"""What becomes of a stack when a verb of compose doesn't come to its end; its roles only sleep."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from .containers import ROOT, Stack, inspect, need_engine, run, wait_until

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

IMAGE = """FROM python:3.13-slim
WORKDIR /app
RUN mkdir docker && ln -s /bin/true docker/drain && {step}
ENTRYPOINT ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
"""
COMPOSE = """
x-image: &image {image: "${COMPOSE_PROJECT_NAME}:local", pull_policy: never}
x-probe: &probe {interval: 1s, start_period: 60s, start_interval: 200ms}
x-role: &role
  <<: *image
  volumes: ["secrets:/run/secrets/proj"]
  healthcheck: {<<: *probe, test: [CMD, test, -e, /well]}
services:
  secrets:
    <<: *image
    build: {context: ., dockerfile: Imagefile}
    entrypoint: [sh, -c, 'echo "$$TOKEN" | cmp -s - token || echo "$$TOKEN" >token']
    working_dir: /run/secrets/proj
    environment: {TOKEN: "${TOKEN:-}"}
    volumes: ["secrets:/run/secrets/proj"]
  migrate: {<<: *image, entrypoint: ["true"]}
  web: {<<: *role, command: [web]}
  worker: {<<: *role, command: [worker]}
  proxy:
    image: python:3.13-slim
    command: [sleep, infinity]
    stop_signal: KILL
    healthcheck: {<<: *probe, start_period: 1s, test: [CMD, "${PROBE:-true}"]}
volumes: {secrets: {}}
"""


class Sleepers(Stack):
    """A stack without a program in it, and the verbs of this tree."""

    def build(self, step: str) -> None:
        """Let the next image be made with *step*."""
        (self.folder / "Imagefile").write_text(IMAGE.format(step=step))

    def images(self) -> set[str]:
        """Return the images that the roles run."""
        return {container["Image"] for container in inspect(*self.ids("web", "worker"))}

    def named(self, name: str) -> str:
        """Return the image that has this name."""
        found: str = inspect(f"{self.name}:{name}")[0]["Id"]
        return found

    def end(self, number: int, *command: str) -> None:
        """Run *command*, and give its whole terminal a signal while there are two of web."""
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        wait_until(lambda: len(self.ids("web")) == 2, "the new ones start beside the old")
        os.killpg(process.pid, number)
        process.communicate()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sleepers]:
    need_engine()
    folder = tmp_path_factory.mktemp("sleepers")
    shutil.copytree(ROOT / "deploy" / "compose", folder / "deploy" / "compose")
    (folder / "compose.yaml").write_text(COMPOSE)
    stack = Sleepers(folder, "")
    stack.build("touch /well")
    try:
        stack.run("deploy/compose/up", check=False)
        assert len(stack.ids("web", "worker", "proxy")) == 3
        yield stack
    finally:
        stack.remove()
        run("docker", "image", "rm", "--force", f"{stack.name}:local", check=False)


def test_an_image_that_is_not_taken_gives_its_name_back(stack: Sleepers) -> None:
    before = stack.images()
    stack.build("true")
    said = stack.run("deploy/compose/up", check=False, env={"UP_PATIENCE": "1"}).stderr
    assert "up: the new version is not healthy" in said
    assert {stack.named("local")} == stack.images() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "no terminal"])
def test_the_new_ones_of_a_verb_that_is_ended_go_again(stack: Sleepers, number: int) -> None:
    before = stack.ids("web", "worker")
    stack.build("true")
    stack.end(number, "deploy/compose/up")
    wait_until(lambda: stack.ids("web", "worker") == before, "the new ones have gone")
    wait_until(lambda: {stack.named("local")} == stack.images(), "the name is back")


def test_a_secret_of_env_that_has_changed_is_put_into_effect(stack: Sleepers) -> None:
    before = set(stack.ids("web", "worker"))
    stack.build("touch /well")
    stack.env["TOKEN"] = "another"
    stack.run("deploy/compose/up", check=False)
    after = set(stack.ids("web", "worker"))
    assert (len(after), before & after) == (2, set())


def test_what_ran_before_is_kept_although_the_verb_fails_in_the_end(stack: Sleepers) -> None:
    (before,) = stack.images()
    stack.build("touch /well /other")
    done = stack.run("deploy/compose/up", check=False, env={"PROBE": "false"})
    assert "proxy does not become healthy" in done.stderr
    assert stack.images() != {before}
    assert stack.named("before") == before


def test_the_number_of_workers_is_set_once_a_verb_has_ended(stack: Sleepers) -> None:
    lock = stack.folder / "compose.yaml"
    holder = subprocess.Popen(["flock", "--no-fork", lock, "sleep", "300"])
    taken = ("flock", "--nonblock", lock, "true")
    wait_until(lambda: run(*taken, check=False).returncode, "the lock is held")
    scaling = subprocess.Popen(
        ["deploy/compose/scale-workers", "2"],
        cwd=stack.folder, env=stack.env, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert scaling.stderr
    assert "is at work here; waiting for it" in scaling.stderr.readline()
    holder.kill()
    scaling.communicate()
    assert len(stack.ids("worker")) == 2
