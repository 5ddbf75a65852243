"""The development layer: what a person changes in an editor runs seconds later."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .containers import Stack, fresh_clone, inspect, run, wait_until
from .http_client import Visitor

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

#: A key as Django makes them: with signs that compose files and shells read in their own way.
OWN_KEY = "my$own#key'with\"signs " * 3 + "!"


@pytest.fixture(scope="module")
def dev(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start ``make dev`` on a clone of its own, as it goes on in a person's terminal."""
    folder = fresh_clone(tmp_path_factory.mktemp("dev") / "proj")
    (folder / ".env").write_text(f"SECRET_KEY={OWN_KEY}\n")
    stack = Stack(folder, f"{image}-dev", "deploy/compose/dev.yaml")
    log = folder.parent / "log"
    with log.open("w") as output:
        terminal = subprocess.Popen(
            ["make", "dev"], cwd=folder, env=stack.env, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: healthy(stack), f"all healthy; {log} says why", 900)
            wait_until(lambda: "Watch enabled" in log.read_text(), "compose watches")
            yield stack
        finally:
            os.killpg(terminal.pid, signal.SIGINT)  # as Ctrl-C does
            terminal.wait(300)
            stack.remove()
            run("docker", "image", "rm", "--force", stack.image, check=False)


def healthy(stack: Stack) -> bool:
    ids = stack.ids("web", "worker", "beat")
    states = [c["State"].get("Health", {}).get("Status") for c in inspect(*ids)] if ids else []
    return states == ["healthy"] * 3


def shown(stack: Stack, path: str) -> str:
    try:
        return Visitor(stack.port).request(path).text
    except OSError:  # it is just starting again
        return ""


def test_a_change_of_a_template_is_on_the_page(dev: Stack) -> None:
    page = Path(dev.folder, "proj", "templates", "admin", "base_site.html")
    page.write_text(page.read_text().replace("proj administration", "just written"))
    wait_until(lambda: "just written" in shown(dev, "/admin/login/"), "the new page")


def test_static_files_come_from_the_source(dev: Stack) -> None:
    style = Path(dev.folder, "proj", "static", "proj", "app.css").read_text()
    wait_until(lambda: shown(dev, "/static/proj/app.css") == style, "the file of the source")


def test_a_new_task_is_known_to_the_worker(dev: Stack) -> None:
    code = Path(dev.folder, "proj", "celery.py")
    code.write_text(f"{code.read_text()}\n\n@app.task\ndef just_written() -> None:\n    pass\n")

    wait_until(lambda: "proj.celery.just_written" in dev.compose("logs", "worker").stdout, "it")
    wait_until(lambda: healthy(dev), "all are healthy again")


def test_the_source_cannot_be_changed_from_within(dev: Stack) -> None:
    mounts = dev.compose("exec", "-T", "web", "cat", "/proc/mounts").stdout
    options = {
        line.split()[1]: line.split()[3].split(",")[0]
        for line in mounts.splitlines()
        if line.split()[1].startswith("/app/")
    }
    source = dict.fromkeys(("/app/apps", "/app/docker", "/app/durable", "/app/proj"), "ro")
    assert options == {**source, "/app/staticfiles": "rw"}


def test_a_key_of_ones_own_in_env_takes_the_place_of_the_generated_one(dev: Stack) -> None:
    told = "from django.conf import settings; print(settings.SECRET_KEY)"
    assert dev.manage(told) == OWN_KEY
