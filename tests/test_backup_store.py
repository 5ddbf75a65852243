"""Dumps go to a storage that speaks S3 and come back as they were."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .backups import Backups

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
