"""WAL is archived by its replication protocol, and the database of any second can be had again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local import account

from .backups import SCRIPT, TABLES, Backups
from .fixtures_worker import wait_for
from .test_backup_store import keys, names, s3, serving

__all__ = ["s3"]

MOMENTS = "CREATE TABLE durable_backups_moment (at timestamptz PRIMARY KEY DEFAULT now())"


class Archive(Backups):
    """A database whose WAL is received while the test runs."""

    process: subprocess.Popen[str]

    def bases(self) -> list[Path]:
        return sorted(self.folder.glob("archive/*/base/2*Z"))

    def mark(self) -> int:
        """Write a row as the archive does each minute; return the first second after it."""
        self.execute("INSERT INTO durable_backups_moment DEFAULT VALUES")
        return next_second()

    def receive(self) -> None:
        self.process = self.start("archive", BACKUP_ARCHIVE_PAUSE="0.5")

    def received(self) -> None:
        """Wait until the archive has all that was written until now."""
        [(segment,)] = self.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        self.execute("SELECT pg_switch_wal()", database="postgres")
        found = f"archive/*/wal/{segment}.gz"
        wait_for(lambda: list(self.folder.glob(found)), "a whole segment is compressed")

    def is_released(self) -> bool:
        """Return whether no session holds the slot: that ends a moment after its client."""
        held = "SELECT FROM pg_replication_slots WHERE active"
        return not self.execute(held, database="postgres")

    def stop(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=120)[0]


def next_second() -> int:
    """Return the next whole second, once it has begun and is over."""
    second = int(time.time()) + 1
    wait_for(lambda: time.time() > second + 1, "the second is over")
    return second


def text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%F %T")


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    folder = Path(tempfile.mkdtemp(prefix="archive-"))
    found = Archive(folder, f"shop_{secrets.token_hex(4)}")
    found.account = account.find()  # PostgreSQL doesn't run as root
    if found.account:
        os.chown(folder, found.account.pw_uid, found.account.pw_gid)
    found.execute(f"CREATE DATABASE {found.database}", database="postgres")
    found.execute(TABLES + MOMENTS)
    found.receive()
    try:
        wait_for(found.bases, "there is a base backup", 120)
        yield found
    finally:
        print(found.stop())
        wait_for(found.is_released, "the server has noticed that nothing is received")
        found.execute("SELECT pg_drop_replication_slot('proj_backup')", database="postgres")
        found.drop_all()
        shutil.rmtree(folder)


def test_the_database_of_a_second_becomes_a_dump_and_is_restored(archive: Archive) -> None:
    archive.execute("INSERT INTO account (name) VALUES ('before')")
    second = next_second()
    archive.execute("DELETE FROM account")
    archive.mark()
    name = archive.run("moment", text(second)).split()[-1]
    assert name == f"{archive.database}-{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}.dump"
    assert archive.run("check", name).split()[-1] == f"{datetime.fromtimestamp(second, UTC):%FT%TZ}"
    archive.run("restore", name)
    assert archive.execute("SELECT count(*), max(name) FROM account WHERE name = 'before'") == [
        (1, "before")
    ]
    assert archive.execute("SELECT count(*) FROM account") == [(501,)]
    assert not list(archive.folder.glob(".draft*"))


def test_a_random_second_is_restored_each_night_and_compared(archive: Archive) -> None:
    for _ in range(4):
        archive.mark()
    said = archive.run("nightly")
    assert re.search(r"UTC: proven, its newest row of .* is there and no later one", said)
    # A row that the archive doesn't know of.
    archive.execute(
        # The newest too: it is one of them as soon as the archive writes the next.
        "UPDATE durable_backups_moment SET at = at + interval '1 ms'"
    )
    assert "the archive is wrong: at " in archive.refuse("drill")


def test_a_restarted_archive_goes_on_where_it_was(archive: Archive) -> None:
    archive.stop()
    archive.execute("INSERT INTO account (name) VALUES ('meanwhile')")
    archive.execute("SELECT pg_switch_wal()", database="postgres")
    second = next_second()
    archive.receive()
    archive.mark()
    archive.received()
    name = archive.run("moment", text(second)).split()[-1]
    rows = (archive.folder / f"{name}.rows").read_text()
    [(count,)] = archive.execute("SELECT count(*) FROM account")
    assert f"public.account\t{count}\n" in rows


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("", "which second?"),
        ("yesteryear", "AT='yesteryear': expected a time like"),
        ("2030-01-01", "that is still to come"),
        ("2020-01-01 10:00", "the archive begins at 20"),
    ],
)
def test_a_second_that_cannot_be_had_is_refused_with_words(
    archive: Archive, moment: str, words: str
) -> None:
    assert words in archive.refuse("moment", moment)


def test_a_second_comes_back_from_the_storage_when_the_machine_has_lost_its_archive(
    archive: Archive, s3: dict[str, str], tmp_path: Path
) -> None:
    archive.execute("INSERT INTO account (name) VALUES ('stored')")
    second = next_second()
    archive.mark()
    [(segment,)] = archive.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    archive.execute("SELECT pg_switch_wal()", database="postgres")
    [(count,)] = archive.execute("SELECT count(*) FROM account")
    sealed = keys(s3, tmp_path)
    lost = archive.folder / "lost"
    asked = archive.folder / ".store"
    asked.mkdir()
    group = None
    if archive.account:  # the other half runs as this user, and in that group
        group = archive.account.pw_gid
        os.chown(asked, archive.account.pw_uid, archive.account.pw_gid)
    with serving(sealed, archive.folder, group) as env:

        def stored() -> bool:
            return any(f"{segment}.gz.age" in name for name in names(s3))

        wait_for(stored, "the last segment is stored")
        assert all(name.endswith(".age") for name in names(s3))
        archive.stop()
        (archive.folder / "archive").rename(lost)
        name = archive.run("moment", text(second), **env).split()[-1]
        assert f"public.account\t{count}\n" in (archive.folder / f"{name}.rows").read_text()
        shutil.rmtree(archive.folder / "archive")
        lost.rename(archive.folder / "archive")
        archive.receive()


def test_a_full_disk_does_not_keep_the_archive_from_deleting_what_is_old(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    (segment := tmp_path / "wal" / f"{1:024}").write_bytes(secrets.token_bytes(100_000))
    script = 'set -eu; ulimit -f 20; . "$HERE/archive.sh"; compress; echo goes on'
    env = {"PATH": os.environ["PATH"], "HERE": str(SCRIPT.parent), "ARCHIVE": str(tmp_path)}
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "goes on\n"
    assert list(segment.parent.iterdir()) == [segment]
