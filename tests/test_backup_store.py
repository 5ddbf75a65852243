"""Dumps go to a storage that speaks S3 and come back as they were."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .backups import Backups
from .fixtures_worker import wait_for

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Run a server that speaks S3; return what the program needs to know of it."""
    bucket = f"bucket-{secrets.token_hex(4)}"  # the servers of one process share what they hold
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    (tmp_path / "key").write_text("testing\n")
    env = {
        "PATH": os.environ["PATH"],
        "BACKUP_STORE_URL": f"s3://{bucket}/some/folder",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID_FILE": str(tmp_path / "key"),
        "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "key"),
    }
    client(env).create_bucket(Bucket=bucket)
    yield env
    server.stop()


def client(env: dict[str, str]) -> Any:
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip


def store(env: dict[str, str], folder: Path, what: str, **more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "durable.backups.store", what],
        cwd=ROOT, env={**env, "BACKUP_DIR": str(folder), **more},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def keys(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return *env* with a key pair: what is stored is encrypted, and can be opened."""
    made = subprocess.run(
        [sys.executable, "-m", "durable.backups.encryption"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (tmp_path / "identity").write_text(made.stdout)
    name, _, recipient = made.stderr.strip("# \n").partition("=")
    return {**env, name: recipient, "BACKUP_IDENTITY_FILE": str(tmp_path / "identity")}


def names(env: dict[str, str]) -> set[str]:
    """Return the names of what is stored."""
    bucket = env["BACKUP_STORE_URL"].split("/")[2]
    found = client(env).list_objects_v2(Bucket=bucket).get("Contents", [])
    return {one["Key"].removeprefix("some/folder/") for one in found}


def objects(env: dict[str, str]) -> dict[str, bytes]:
    """Return what is stored, by its name."""
    bucket = env["BACKUP_STORE_URL"].split("/")[2]
    get = client(env).get_object
    return {
        name: get(Bucket=bucket, Key=f"some/folder/{name}")["Body"].read() for name in names(env)
    }


@contextmanager
def serving(
    env: dict[str, str], folder: Path, group: int | None = None
) -> Iterator[dict[str, str]]:
    """Run the other half, as in a container of its own; yield the script's settings."""
    with subprocess.Popen(
        [sys.executable, "-m", "durable.backups.serve"],
        cwd=ROOT, env={**env, "BACKUP_DIR": str(folder)}, group=group,
    ) as process:  # fmt: skip
        try:
            yield {"BACKUP_STORE_URL": env["BACKUP_STORE_URL"]}
        finally:
            process.terminate()


def test_a_dump_leaves_the_machine_encrypted_and_is_proven_from_there(
    backups: Backups, s3: dict[str, str], tmp_path: Path
) -> None:
    with serving(keys(s3, tmp_path), backups.folder) as env:
        said = backups.run("nightly", **env)
        (name,) = backups.names()
        assert f"{name}: stored in {s3['BACKUP_STORE_URL']}" in said
        assert f"{name}: fetched from the storage" in said
        stored = objects(s3)
        assert set(stored) == {f"{name}{part}.age" for part in ("", ".rows", ".sha256")} | {
            f"{name}.proven"
        }
        assert stored[f"{name}.age"].startswith(b"age-encryption.org/v1")
        # The machine is lost; the key is not.
        for path in backups.folder.glob(f"{name}*"):
            path.unlink()
        assert "in the storage alone" in backups.run("list", **env)
        backups.execute("DELETE FROM booking; DELETE FROM account")
        backups.run("check", name, **env)
        backups.run("restore", name, **env)
        assert backups.execute("SELECT count(*) FROM account") == [(500,)]
        assert backups.left() == {".lock", ".store"}


def test_without_the_key_the_storages_copy_is_compared_with_what_it_was_given(
    backups: Backups, s3: dict[str, str], tmp_path: Path
) -> None:
    sealed = keys(s3, tmp_path)
    del sealed["BACKUP_IDENTITY_FILE"]
    with serving(sealed, backups.folder) as env:
        said = backups.run("nightly", **env)
        (name,) = backups.names()
        assert f"{name}: the storage has it as it was put there" in said
        assert f"{name}: proven" in said
        bucket = s3["BACKUP_STORE_URL"].split("/")[2]
        client(s3).put_object(Bucket=bucket, Key=f"some/folder/{name}.age", Body=b"other")
        said = backups.refuse("drill", **env)
        assert f"{name}.age: the storage holds another file than was put there" in said
        for path in backups.folder.glob(f"{name}*"):
            path.unlink()
        assert "BACKUP_IDENTITY is not set" in backups.refuse("check", name, **env)


def test_what_retention_deletes_goes_from_the_storage_too_and_the_proven_one_stays(
    backups: Backups, s3: dict[str, str], tmp_path: Path
) -> None:
    keep = {"BACKUP_KEEP_LAST": "1", "BACKUP_KEEP_DAILY": "1", "BACKUP_KEEP_WEEKLY": "1"}
    with serving(keys(s3, tmp_path), backups.folder) as env:
        backups.run("nightly", **env, **keep)
        (proven,) = backups.names()
        backups.dump(**env, **keep)
        newest = backups.dump(**env, **keep)
        # A machine that lost its own takes nothing away there.
        for path in backups.folder.glob("*.dump*"):
            path.unlink()
        # It no longer knows the name, which is the second of the dump.
        wait_for(lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" not in newest, "the second is over")
        backups.dump(**env, **keep)
        there = {name.removesuffix(".age") for name in objects(s3) if name.endswith("p.age")}
        assert proven in there
        assert newest not in there
        assert len(there) == 2


def test_the_other_half_waits_where_there_is_no_storage_and_ends_when_it_is_told(
    tmp_path: Path,
) -> None:
    """As in the pod of k8s/components/archive, whose volume may be all that there is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "durable.backups.serve"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "BACKUP_DIR": str(tmp_path)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    said = process.stdout.readline()
    process.terminate()
    assert said == "backup: BACKUP_STORE_URL is not set: nothing leaves this volume\n"
    assert process.wait(60) == 0
    assert not list(tmp_path.iterdir())


def test_without_the_other_half_the_script_says_which_service_is_missing(
    backups: Backups, s3: dict[str, str]
) -> None:
    env = {"BACKUP_STORE_URL": s3["BACKUP_STORE_URL"], "BACKUP_STORE_WITHIN": "0"}
    said = backups.refuse("dump", **env)
    assert "the service backup-store doesn't run" in said
    assert len(backups.names()) == 1  # here it is


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKUP_RECIPIENTS", "AGE-SECRET-KEY-1NONE"),
        ("BACKUP_IDENTITY", "AGE-SECRET-KEY-1NONE"),
        ("BACKUP_STORE_URL", "s3://AKIA:1NONE/+@bucket/folder"),
        ("BACKUP_STORE_URL", "AKIA:1NONE@bucket"),
    ],
)
def test_a_key_in_the_wrong_place_is_named_and_not_shown(
    backups: Backups, s3: dict[str, str], name: str, value: str
) -> None:
    status, said = store({**s3, name: value}, backups.folder, "upload")
    assert (status, name in said, "expected" in said, "1NONE" in said) == (1, True, True, False)


def test_what_is_proven_is_what_came_back(backups: Backups, s3: dict[str, str]) -> None:
    name = backups.dump()
    whole = (backups.folder / name).read_bytes()
    assert store(s3, backups.folder, "upload") == (
        0, f"backup: {name}: uploaded to {s3['BACKUP_STORE_URL']}\n",
    )  # fmt: skip
    (backups.folder / name).write_bytes(b"something else")
    assert store(s3, backups.folder, "download") == (0, f"backup: {name}: downloaded\n")
    assert (backups.folder / name).read_bytes() == whole
    assert f"{name}: proven" in backups.run("drill")


def test_a_large_dump_goes_in_parts(backups: Backups, s3: dict[str, str]) -> None:
    name = backups.dump()
    path = backups.folder / name
    path.write_bytes(os.urandom(30 * 1024 * 1024))
    assert store(s3, backups.folder, "upload")[0] == 0
    bucket = s3["BACKUP_STORE_URL"].split("/")[2]
    head = client(s3).head_object(Bucket=bucket, Key=f"some/folder/{name}")
    assert head["ContentLength"] == path.stat().st_size
    assert "-" in head["ETag"]  # as an upload in parts has it
    kept = path.read_bytes()
    assert store(s3, backups.folder, "download")[0] == 0
    assert path.read_bytes() == kept


def test_the_newest_comes_back_or_the_one_that_is_named(
    backups: Backups, s3: dict[str, str], tmp_path: Path
) -> None:
    first, second = backups.dump(), backups.dump()
    store(s3, backups.folder, "upload")
    empty = tmp_path / "empty"
    empty.mkdir()
    store(s3, empty, "download")
    assert (empty / second).is_file()
    store(s3, empty, "download", FROM=first)
    assert (empty / first).is_file()
    assert not (empty / second).exists()
    status, said = store(s3, empty, "download", FROM="nope.dump")
    assert status == 1
    assert "FROM=nope.dump: there is no such dump" in said
    assert first in said


def test_each_verb_moves_what_it_needs(backups: Backups, s3: dict[str, str]) -> None:
    backups.dump()
    for verb in ("drill", "restore", "check", "list"):
        assert store(s3, backups.folder, "upload", BACKUP_DO=verb) == (0, "")
    status, said = store(s3, backups.folder, "download", BACKUP_DO="drill")
    assert (status, said) == (1, "backup: there is no dump in BACKUP_STORE_URL yet: make backup\n")
    assert store(s3, backups.folder, "download", BACKUP_DO="dump") == (0, "")


def test_the_scripts_part_of_a_verb_is_done_by_one_container_each(backups: Backups) -> None:
    """The pod dumps in one container, moves in the next ones, and proves in the last."""
    dump, prove = {"BACKUP_STEP": "dump"}, {"BACKUP_STEP": "prove"}
    backups.run("drill", **dump)
    assert backups.names() == []
    backups.run("dump", **prove)
    backups.run("list", **prove)
    assert backups.names() == []
    backups.run("nightly", **dump)
    (name,) = backups.names()
    assert "not proven" in backups.run("list")
    assert f"{name}: proven" in backups.run("nightly", **prove)


def test_a_storage_that_refuses_says_what_to_change(
    backups: Backups, s3: dict[str, str], tmp_path: Path
) -> None:
    backups.dump()
    status, said = store({**s3, "BACKUP_STORE_URL": ""}, backups.folder, "upload")
    assert (status, "BACKUP_STORE_URL=''" in said) == (1, True)
    status, said = store({**s3, "BACKUP_STORE_URL": "s3://nope/x"}, backups.folder, "upload")
    assert (status, "the Secret backup-s3" in said) == (1, True)
    assert "Traceback" not in said
