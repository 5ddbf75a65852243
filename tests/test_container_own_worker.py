"""A worker of one's own, in compose.override.yaml: a restore and a new password reach it too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .containers import ROOT, Stack, inspect, wait_until
from .test_container_backup import backup, names
from .users import USERS

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

NAME = "worker-shop"


@pytest.fixture(scope="module")
def own(stack: Stack) -> Iterator[Stack]:
    """Add two of the worker that docs/own-app.md shows to the stack, in the file that it names."""
    page = (ROOT / "docs" / "own-app.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n( +services:\n +worker-shop:.*?)```", page, re.DOTALL)
    override = stack.folder / "compose.override.yaml"
    override.write_text(text)
    before = stack.env["COMPOSE_FILE"]
    stack.env["COMPOSE_FILE"] = f"{before}:{override.name}"  # as Compose does by itself
    up = ("up", "--detach", "--wait", "--no-deps", "--no-build", "--scale", f"{NAME}=2", NAME)
    try:
        stack.compose(*up)
        yield stack
    finally:
        stack.compose("rm", "--force", "--stop", NAME)
        stack.env["COMPOSE_FILE"] = before
        override.unlink()


def starts(stack: Stack) -> set[str]:
    """Return when those that run were started; they are healthy."""
    containers = inspect(*stack.ids(NAME))
    assert {each["State"]["Health"]["Status"] for each in containers} == {"healthy"}
    return {each["State"]["StartedAt"] for each in containers}


def test_a_restore_brings_back_what_was_and_starts_as_many_of_all_that_ran(own: Stack) -> None:
    own.run("deploy/compose/scale-workers", "2")
    own.manage(USERS + "User.objects.create(username='before')")
    backup(own, "dump")
    name = names(own)[-1]
    own.manage(USERS + "User.objects.all().delete(); User.objects.create(username='after')")
    before = starts(own)
    said = own.run("make", "restore", f"FROM={name}").stdout
    (stopped,) = re.findall(r"^backup: stopping (.*)$", said, re.MULTILINE)
    assert set(stopped.split()) == {"web", "worker", "beat", NAME}
    after = starts(own)
    assert (len(before), len(after), len(before & after)) == (2, 2, 0)
    left = "print(*User.objects.filter(username__in=['before', 'after']).values_list('username'))"
    assert own.manage(USERS + left) == "('before',)"
    assert "what it was until now is in the database proj_before_" in said
    assert len(own.ids("worker")) == 2
    for container in inspect(*own.ids("web", "worker", "beat")):
        assert container["State"]["Health"]["Status"] == "healthy"
    # And tasks run.
    own.manage("from proj.celery import debug_task; debug_task.delay_on_commit()")
    count = "from durable.queue.models import Task; print(Task.objects.count())"
    wait_until(lambda: own.manage(count) == "0", "all tasks are done")


def test_a_rotation_starts_it_with_the_new_token_too(own: Stack) -> None:
    token = "from django.conf import settings; print(settings.METRICS_TOKEN)"
    ask = "import os; print(open(os.environ['METRICS_TOKEN_FILE']).read())"
    before, old = starts(own), own.manage(token)
    own.run("deploy/compose/rotate-secret", "metrics_token")
    after = starts(own)
    assert (len(after), len(before & after)) == (2, 0)
    assert own.manage(token) != old
    for service in (NAME, "web"):
        told = own.compose("exec", "-T", service, "python", "-c", ask).stdout
        assert told.strip() == own.manage(token)
