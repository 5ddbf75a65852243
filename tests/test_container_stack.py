"""The compose stack starts, is scaled, and survives what happens to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .containers import Stack, fresh_clone, inspect, run, wait_until
from .users import USERS

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]


def scale(stack: Stack, number: object, **options: Any) -> Any:
    return stack.run("deploy/compose/scale-workers", str(number), **options)


def started(stack: Stack) -> dict[str, str]:
    return {c["Id"]: c["State"]["StartedAt"] for c in inspect(*stack.ids("worker"))}


def test_everything_is_healthy(stack: Stack) -> None:
    states = {
        service: container["State"].get("Health", {}).get("Status")
        or container["State"]["ExitCode"]
        for service, container in stack.containers().items()
    }
    serving = dict.fromkeys(("proxy", "web", "worker", "beat", "postgres", "redis"), "healthy")
    assert states == {**serving, "secrets": 0, "migrate": 0}


def test_the_doctor_looks_from_outside_and_from_within(stack: Stack) -> None:
    done = stack.run("make", "doctor", "JSON=1", check=False)
    rows = {(row["part"], row["name"]): row for row in json.loads(done.stdout)["lines"]}
    for role in ("web", "worker", "beat"):
        assert re.fullmatch(r"(\d) of \1 well", rows["containers", role]["says"])
    failed = {key for key, row in rows.items() if row["level"] == "fail" and "disk" not in key}
    assert failed == set(), done.stdout
    for part, name in [("containers", "image"), ("schema", ""), ("broker", "persistence")]:
        assert rows[part, name]["level"] == "ok", done.stdout


@pytest.mark.parametrize("number", ["", "0", "-1", "two", "1.5", "65"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(stack: Stack, number: str) -> None:
    before = started(stack)
    done = scale(stack, number, check=False)
    assert done.returncode == 1
    assert f"N={number}" in done.stderr or f"N='{number}'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert started(stack) == before


def test_scaling_a_stack_that_does_not_run_says_so(stack: Stack) -> None:
    done = scale(stack, 2, check=False, env={"COMPOSE_PROJECT_NAME": f"{stack.name}-other"})
    assert done.returncode == 1
    assert "no worker runs: start the stack first" in done.stderr


def test_a_worker_that_is_killed_comes_back(stack: Stack) -> None:
    scale(stack, 1)  # whatever another test has made of it
    (worker,) = inspect(*stack.ids("worker"))
    # `docker kill` counts as a person's wish, which the restart policy respects; this does not.
    run(
        "docker", "run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "sh", stack.image,
        "-c", f"kill -9 {worker['State']['Pid']}",
    )  # fmt: skip

    def back() -> bool:
        (now,) = inspect(worker["Id"])
        health = now["State"]["Health"]["Status"]
        return bool(now["RestartCount"] == worker["RestartCount"] + 1 and health == "healthy")

    wait_until(back, "the worker consumes again")


@pytest.fixture
def other(image: str, tmp_path: Path) -> Iterator[Stack]:
    """Return a second stack that was not started."""
    other = Stack(fresh_clone(tmp_path / "proj"), image)
    yield other
    other.remove()


def test_a_port_that_is_taken_is_named_with_what_to_type(stack: Stack, other: Stack) -> None:
    done = other.run("deploy/compose/up", check=False, env={"PORT": str(stack.port)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"proxy: port {stack.port} is taken by another program; "
        "choose a free one: PORT=8001 make up"
    )


def test_a_wrong_value_in_env_is_shown_and_nothing_starts_with_it(other: Stack) -> None:
    (other.folder / ".env").write_text("DATABASE_POOL_MAX_SIZE=plenty\n")
    done = other.run("deploy/compose/up", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "migrate ended; its last lines (all: docker compose logs migrate):",
        "    DATABASE_POOL_MAX_SIZE='plenty': expected a whole number, 0 or more",
    ]
    migrate = other.containers()["migrate"]["State"]
    assert (migrate["Status"], migrate["ExitCode"]) == ("exited", 1)
    assert other.ids("web", "worker", "beat") == []


def test_a_migration_that_fails_leaves_the_running_version_alone(stack: Stack) -> None:
    broken = stack.folder / "broken.yaml"
    broken.write_text(
        "services:\n  migrate:\n"
        """    command: [python, -c, "raise SystemExit('no such column: x')"]\n"""
    )
    before = stack.ids("web", "worker", "beat")
    layers = {"COMPOSE_FILE": f"{stack.env['COMPOSE_FILE']}:{broken.name}"}
    done = stack.run("deploy/compose/up", check=False, env=layers)
    broken.unlink()
    assert done.returncode == 1
    assert "no such column: x" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == (
        "up: the new version can't migrate, its lines are above; the running one was left alone"
    )
    assert stack.ids("web", "worker", "beat") == before


def test_valkey_is_refused_beside_the_data_of_redis(stack: Stack) -> None:
    before = stack.ids()
    done = stack.run("deploy/compose/up", check=False, env={"REDIS_IMAGE": "valkey/valkey:9"})
    assert (done.returncode, stack.ids()) == (1, before)
    assert "REDIS_IMAGE is valkey/valkey:9, and the broker's data are of redis:8" in done.stderr


def test_down_and_up_again_keeps_everything(stack: Stack) -> None:
    kept = (
        f"{USERS}from django.conf import settings;"
        "print(settings.SECRET_KEY, User.objects.filter(username='kept').count())"
    )
    stack.manage(
        f"{USERS}from django.core.mail import send_mail;"
        "User.objects.create(username='kept'); send_mail('hello', 'body', None, ['kept@localhost'])"
    )
    before = stack.manage(kept)
    assert before.endswith(" 1")
    assert "To: kept@localhost" in stack.run("deploy/compose/newest-mail").stdout  # in memory

    stack.compose("down")
    assert stack.containers_left() == []
    told = stack.run("deploy/compose/up").stdout
    assert told.splitlines()[-1] == f"http://127.0.0.1:{stack.port}"

    assert stack.manage(kept) == before
