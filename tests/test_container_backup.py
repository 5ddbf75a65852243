"""Backups of the running compose stack, by the commands that a person types."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .containers import ROOT, Stack, inspect, run, wait_until
from .test_container_compose_file import config
from .users import USERS

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]


def backup(stack: Stack, *arguments: str) -> str:
    return stack.run("deploy/compose/backup", *arguments).stdout


def in_the_volume(stack: Stack, script: str) -> str:
    """Run a shell script where the dumps are, as the service's user."""
    done = stack.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "sh", "backup",
        "-c", f'cd "$BACKUP_DIR"; {script}',
    )  # fmt: skip
    return done.stdout


def names(stack: Stack) -> list[str]:
    return in_the_volume(stack, "ls -1 *.dump 2>/dev/null || true").split()


def started(stack: Stack) -> set[tuple[str, str]]:
    ids = stack.ids("web", "worker", "beat")
    return {(container["Id"], container["State"]["StartedAt"]) for container in inspect(*ids)}


@contextmanager
def load(stack: Stack, name: str = "load") -> Iterator[None]:
    """Have a user created, *name* and a number, and a task called with each, again and again."""
    code = (
        f"{USERS}import itertools, time\n"
        "from proj.celery import debug_task\n"
        "from django.db import transaction\n"
        "for number in itertools.count():\n"
        "    with transaction.atomic():\n"
        f"        User.objects.create(username=f'{name}-{{number}}')\n"
        "        debug_task.delay_on_commit()\n"
        "    time.sleep(0.02)\n"
        "    if not number: print('goes', flush=True)\n"
    )
    command = ["docker", "compose", "exec", "-T", "web", "python", "manage.py", "shell"]
    with subprocess.Popen(
        [*command, "--no-imports", "-c", code],
        cwd=stack.folder, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "goes\n"
        try:
            yield
        finally:
            process.terminate()
            stack.compose("exec", "-T", "web", "pkill", "-f", "itertools", check=False)


def test_a_backup_under_load_is_proven_row_by_row(stack: Stack) -> None:
    before = set(names(stack))
    with load(stack):
        said = stack.run("make", "backup").stdout + stack.run("make", "restore-drill").stdout
    (name,) = set(names(stack)) - before
    assert f"{name}: proven" in said
    age = stack.manage("from durable.backups.metrics import proven_age; print(proven_age())")
    assert 0 < float(age) < 600


def test_a_dump_leaves_the_machine_encrypted_and_is_proven_from_there(stack: Stack) -> None:
    network = run("docker", "network", "inspect", f"{stack.name}_default").stdout
    gateway = json.loads(network)[0]["IPAM"]["Config"][0]["Gateway"]
    server = ThreadedMotoServer(gateway, 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    boto3.client(
        "s3", endpoint_url=f"http://{gateway}:{port}", region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing",
    ).create_bucket(Bucket=stack.name)  # fmt: skip
    made = stack.compose(
        "exec", "-T", "web", "python", "-m", "durable.backups.encryption"
    )  # fmt: skip
    settings = stack.folder / ".env"
    before = settings.read_text() if settings.exists() else ""
    lines = (
        f"BACKUP_STORE_URL=s3://{stack.name}/proj", f"AWS_ENDPOINT_URL=http://{gateway}:{port}",
        "AWS_REGION=us-east-1", "BACKUP_ACCESS_KEY_ID=testing", "BACKUP_SECRET_ACCESS_KEY=testing",
        made.stderr.strip("# \n"), f"BACKUP_IDENTITY={made.stdout.strip()}",
    )  # fmt: skip
    try:
        settings.write_text("\n".join((before, *lines, "")))
        stack.compose("run", "--rm", "--no-deps", "secrets")
        said = stack.run("make", "backup").stdout + stack.run("make", "restore-drill").stdout
        name = names(stack)[-1]
        assert f"{name}: stored in s3://{stack.name}/proj" in said
        assert f"{name}: fetched from the storage" in said
        assert f"{name}: proven" in said
        in_the_volume(stack, f"rm {name}*")
        assert f"{name}\t" in stack.run("make", "restore").stdout
        assert not stack.ids("backup-store")
    finally:
        settings.write_text(before)
        stack.compose("run", "--rm", "--no-deps", "secrets")
        server.stop()


def test_the_database_of_a_second_is_restored_from_the_archive(stack: Stack) -> None:
    stack.compose("--profile", "archive", "up", "--detach", "--no-deps", "archive")
    try:
        logs = ("--profile", "archive", "logs", "archive")
        wait_until(lambda: "base backup" in stack.compose(*logs).stdout, "there is a base backup")
        stack.manage(USERS + "User.objects.create(username='then')")
        second = int(time.time()) + 1
        wait_until(lambda: time.time() > second + 1, "the second is over")
        stack.manage(USERS + "User.objects.filter(username='then').delete()")
        moment = datetime.fromtimestamp(second, UTC).strftime("%F %T")
        said = stack.run("make", "restore", f"AT={moment}").stdout
        assert f"is as it was at {datetime.fromtimestamp(second, UTC):%FT%TZ}" in said
        there = "print(User.objects.filter(username='then').count())"
        assert stack.manage(USERS + there) == "1"
    finally:
        stack.compose("--profile", "archive", "rm", "--force", "--stop", "archive")


def test_a_wrong_file_is_refused_before_anything_is_stopped(stack: Stack) -> None:
    backup(stack, "dump")
    before = started(stack)
    done = stack.run("make", "restore", "FROM=nope.dump", check=False)
    assert done.returncode
    assert "there is no such dump" in done.stderr
    assert names(stack)[-1] in done.stderr
    assert started(stack) == before


def test_without_a_file_restore_shows_which_there_are(stack: Stack) -> None:
    backup(stack, "dump")
    before = started(stack)
    said = stack.run("make", "restore").stdout
    assert set(names(stack)) <= set(said.split())
    assert "make restore FROM=FILE" in said
    assert started(stack) == before


def test_dumps_are_copied_out_and_into_an_empty_volume_as_the_page_shows(
    stack: Stack, tmp_path: Path
) -> None:
    backup(stack, "dump")
    name = names(stack)[-1]
    page = (ROOT / "docs" / "backups.md").read_text("utf-8")
    out, in_ = re.findall(r"^(?:docker compose|tar) .*entrypoint sh backup .*$", page, re.MULTILINE)
    example = "proj-20261124T021700Z"

    def typed(line: str) -> None:
        """Run a line of the page in the project's folder, for this dump."""
        assert example in line
        stack.run("sh", "-ec", line.replace(example, name.removesuffix(".dump")))

    typed(out)
    copies = [path.rename(tmp_path / path.name) for path in stack.folder.glob(f"{name}*")]
    assert {path.name.removeprefix(name) for path in copies} == {"", ".rows", ".sha256"}
    in_the_volume(stack, f"rm {name}*")
    for path in copies:
        path.rename(stack.folder / path.name)
    typed(in_)
    for path in copies:
        (stack.folder / path.name).unlink()
    assert f"{name}: proven" in backup(stack, "drill", name)


def test_a_damaged_dump_is_found_by_the_drill_and_by_a_restore(stack: Stack) -> None:
    backup(stack, "dump")
    name = names(stack)[-1]
    in_the_volume(stack, f"printf x | dd of={name} bs=1 seek=2000 conv=notrunc 2>/dev/null")
    before = started(stack)
    for verb in (["drill"], ["restore", name]):
        done = stack.run("deploy/compose/backup", *verb, check=False)
        assert done.returncode
        assert f"{name} is damaged or wrong: its checksum differs" in done.stderr
    assert started(stack) == before
    in_the_volume(stack, f"rm {name}*")


def test_a_full_disk_says_what_to_change_and_leaves_no_half_dump(stack: Stack) -> None:
    script = (
        "mkdir /tmp/full; head -c 70000000 /dev/zero >/tmp/fill 2>/dev/null;"
        "truncate -s -64K /tmp/fill; /opt/backup/proj-backup dump; echo $?; ls -A /tmp/full"
    )
    done = stack.compose(
        "run", "--rm", "-T", "--no-deps", "--entrypoint", "sh",
        "--env", "BACKUP_DIR=/tmp/full", "--env", "TMPDIR=/dev/shm", "backup", "-c", script,
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == ["1", ".lock"], done.stderr
    assert "No space left on device" in done.stderr
    assert "make the volume of BACKUP_DIR=/tmp/full larger, or keep fewer dumps" in done.stderr


def test_the_nightly_service_waits_and_stops_at_once(stack: Stack) -> None:
    stack.compose("--profile", "backup", "up", "--detach", "--no-deps", "backup")
    try:
        logs = ("logs", "backup")
        wait_until(lambda: "the next one is at" in stack.compose(*logs).stdout, "it says when")
        stack.compose("stop", "--timeout", "60", "backup")
        (id_,) = stack.compose("ps", "--all", "--quiet", "backup").stdout.split()
        assert inspect(id_)[0]["State"]["ExitCode"] == 0
    finally:
        stack.compose("rm", "--force", "--stop", "backup")


def test_it_is_as_locked_down_as_the_others(clone: Path) -> None:
    services = config(clone, COMPOSE_PROFILES="backup")["services"]
    service, other = services["backup"], services["postgres"]
    for key in ("image", "user", "read_only", "cap_drop", "security_opt", "logging"):
        assert service[key] == other[key], key
    assert service["pids_limit"] <= 128
    assert int(service["mem_limit"]) <= 1024**3
    mounts = {v["target"]: v.get("read_only", False) for v in service["volumes"]}
    assert mounts == {"/opt/backup": True, "/run/secrets/proj": True, "/var/lib/postgresql": False}
    assert "backup" not in config(clone)["services"]


def test_without_a_stack_it_says_so(clone: Path, image: str) -> None:
    done = Stack(clone, image).run("make", "backup", check=False)
    assert done.returncode
    assert "no stack runs here: start it first" in done.stderr
