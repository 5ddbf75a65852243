"""A dump counts once it is whole, and is proven once every table has its rows again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from deploy.local.postgres import programs

from .backups import SCRIPT, Backups, server_url
from .fixtures_worker import free_port, wait_for
from .local_stack import Checkout


def test_a_dump_is_restored_beside_the_database_compared_and_marked(backups: Backups) -> None:
    name = backups.dump()
    said = backups.run("drill")
    assert f"{name}: proven, 501 rows of 3 tables are there again" in said
    assert "not proven" not in backups.run("list")
    assert backups.databases() == set()
    assert backups.left() == {".lock"}


def test_the_counts_are_those_of_the_dumps_own_moment(backups: Backups) -> None:
    """Rows come in all the time; counted even a moment later, the drill would find more."""
    stop = threading.Event()

    def load() -> None:
        with psycopg.connect(backups.url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO account (name) VALUES ('later')")

    writers = [threading.Thread(target=load) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        wait_for(
            lambda: backups.execute("SELECT count(*) FROM account")[0][0] > 500, "rows come in"
        )
        for _ in range(3):
            backups.run("nightly", BACKUP_KEEP_LAST="9")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    counts = [
        int(re.findall(r"^public.account\t(\d+)$", path.read_text(), re.MULTILINE)[0])
        for path in sorted(backups.folder.glob("*.rows"))
    ]
    assert 500 < counts[0] < counts[-1] < backups.execute("SELECT count(*) FROM account")[0][0]


def test_a_killed_dump_never_counts_and_leaves_nothing(backups: Backups) -> None:
    with psycopg.connect(backups.url) as holder:
        holder.execute("LOCK TABLE account")  # pg_dump waits for it
        process = backups.start("dump")
        wait_for(lambda: list(backups.folder.glob(".draft-*")), "it dumps")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert backups.names() == []
    assert "there is no dump" in backups.refuse("drill")
    backups.run("nightly")
    assert backups.left() == {".lock"}


def test_a_stopped_dump_ends_at_once_and_cleans_up(backups: Backups) -> None:
    with psycopg.connect(backups.url) as holder:
        holder.execute("LOCK TABLE account")
        process = backups.start("dump")
        wait_for(lambda: list(backups.folder.glob(".draft-*")), "it dumps")
        process.terminate()  # the shell alone, as Docker and Kubernetes do
        assert process.wait(120) == 143
    assert backups.left() == {".lock"}


def test_a_pg_dump_that_has_only_begun_leaves_nothing_later(
    backups: Backups, tmp_path: Path
) -> None:
    """psql starts it: the script ends psql, and nothing of pg_dump may come after the clean-up."""
    slow, begun = tmp_path / "pg_dump", tmp_path / "begun"
    slow.write_text(f'#!/bin/sh\necho $$ >{begun}\nsleep 1\nexec "{programs()}/pg_dump" "$@"\n')
    slow.chmod(0o755)
    process = backups.start("dump", PATH=f"{tmp_path}:{backups.env()['PATH']}")
    wait_for(lambda: begun.exists() and begun.read_text(), "pg_dump begins")
    process.terminate()
    assert process.wait(120) == 143
    wait_for(lambda: not Path("/proc", begun.read_text().strip()).exists(), "pg_dump has gone")
    assert backups.left() == {".lock"}


def test_a_flipped_bit_is_found_and_the_proof_withdrawn(backups: Backups) -> None:
    name = backups.dump()
    backups.run("drill")
    path = backups.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = backups.refuse("drill")
    assert f"{name} is damaged or wrong: its checksum differs" in said
    assert "not proven" in backups.run("list")


def test_a_dump_that_lacks_a_row_is_found(backups: Backups) -> None:
    """Whatever pg_dump or pg_restore may do wrong: the sums are right, and a row is missing."""
    name = backups.dump()
    rows = backups.folder / f"{name}.rows"
    rows.write_text(rows.read_text().replace("public.account\t500", "public.account\t501"))
    sums = subprocess.check_output(["sha256sum", name, rows.name], cwd=backups.folder, text=True)
    (backups.folder / f"{name}.sha256").write_text(sums)
    said = backups.refuse("drill")
    assert "tables have other rows than at the dump" in said
    assert "< public.account\t501\n> public.account\t500" in said
    assert backups.databases() == set()


def test_the_scratch_database_goes_after_a_crash_too(backups: Backups) -> None:
    backups.make_restores_wait()
    backups.dump()
    process = backups.start("drill")
    wait_for(lambda: "_drill" in backups.databases(), "the scratch database is there")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    backups.let_restores_go()
    backups.run("drill")
    assert backups.databases() == set()


def test_django_only_options_of_the_url_are_left_out(backups: Backups) -> None:
    joined = "&" if "?" in backups.url else "?"
    url = f"{backups.url}{joined}conn_max_age=60&pool=true&application_name=me"
    backups.run("nightly", DATABASE_URL=url)


def running_pg_dump() -> str:
    """Return the command lines of all processes, once pg_dump is one of them."""
    commands = subprocess.check_output(["ps", "-eo", "args"], text=True)
    return commands if "pg_dump" in commands else ""


def test_no_password_is_on_a_command_line_or_left_in_a_file(
    backups: Backups, tmp_path: Path
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    password = backups.url.split("@")[0].rsplit(":")[-1]
    with psycopg.connect(backups.url) as holder:
        holder.execute("LOCK TABLE account")
        process = backups.start("dump", TMPDIR=str(temp))
        wait_for(lambda: list(backups.folder.glob(".draft-*")), "it dumps")
        commands = wait_for(running_pg_dump, "pg_dump runs")
        assert password not in commands
        process.terminate()
        process.wait(120)
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("DATABASE_URL", "mysql://u:p@h/n", "DATABASE_URL: expected postgresql://"),
        ("DATABASE_URL", "postgresql://u:p@h", "the database's name is missing"),
        ("DATABASE_URL", "postgresql://u:p/w@h/n", "DATABASE_URL: expected postgresql://"),
        ("DATABASE_URL_FILE", "/nowhere/url", "DATABASE_URL_FILE=/nowhere/url: can't be read"),
        ("BACKUP_DIR", "/nowhere", "BACKUP_DIR=/nowhere: there is no such folder"),
        ("BACKUP_KEEP_DAILY", "many", "BACKUP_KEEP_LAST, _DAILY and _WEEKLY are"),
    ],
)
def test_a_wrong_setting_is_named(backups: Backups, name: str, value: str, words: str) -> None:
    assert words in backups.refuse("dump", **{name: value})


def test_a_wrong_password_and_a_wrong_host_name_the_variable(backups: Backups) -> None:
    wrong = server_url(backups.database, user="proj", password="wrong")
    said = backups.refuse("dump", DATABASE_URL=wrong)
    assert "the password in DATABASE_URL (or the file DATABASE_URL_FILE)" in said
    nobody = f"postgresql://u:p@127.0.0.1:{free_port()}/x"
    said = backups.refuse("dump", DATABASE_URL=nobody)
    assert "the host or the port in DATABASE_URL" in said


def test_a_role_that_may_not_create_databases_is_told_what_it_needs(backups: Backups) -> None:
    role = f"{backups.database}_reader"
    backups.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data")
    try:
        url = server_url(backups.database, user=role, password="secret")
        backups.run("dump", DATABASE_URL=url)
        # Into the database `postgres` it can't come either.
        here = {"DATABASE_URL": url, "BACKUP_MAINTENANCE_DATABASE": backups.database}
        said = backups.refuse("drill", **here)
        assert "CREATEDB" in said
        assert "BACKUP_DRILL_URL" in said
        # On another server it may.
        said = backups.run("drill", **here, BACKUP_DRILL_URL=server_url("postgres"))
        assert "proven" in said
    finally:
        backups.execute(f"DROP ROLE {role}")


def test_a_second_run_waits_for_the_first(backups: Backups) -> None:
    lock = backups.folder / ".lock"
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE) as holder:
        wait_for(lambda: subprocess.call(["flock", "-n", lock, "true"]), "the lock is held")
        said = backups.refuse("dump", BACKUP_WAIT="1")
        assert "has held" in said
        waiting = backups.start("dump")
        assert holder.stdin is not None
        holder.stdin.close()
        assert waiting.wait(180) == 0
        waiting.communicate()


def retained(names: list[str], last: int, daily: int, weekly: int) -> list[str]:
    """Return what is deleted of *names*: times, a ``+`` behind those that are proven."""
    lines = [
        f"shop-{name.removesuffix('+')}Z.dump {int(name.endswith('+'))}"
        for name in sorted(names, reverse=True)
    ]
    done = subprocess.run(
        [
            "awk", "-v", f"last={last}", "-v", f"daily={daily}", "-v", f"weekly={weekly}",
            "-f", SCRIPT.with_name("retention.awk"),
        ],
        input="\n".join(lines), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.removeprefix("shop-").removesuffix("Z.dump") for line in done.stdout.split()]


def test_the_newest_of_each_day_and_of_each_week_stay() -> None:
    # 2026-11-23 is a Monday; 2027-01-01 a Friday in a week of the year before.
    names = ["20261121T020000", "20261122T020000", "20261123T020000", "20261123T100000"]
    assert retained(names, last=0, daily=2, weekly=0) == ["20261123T020000", "20261121T020000"]
    assert retained(names, last=0, daily=0, weekly=2) == ["20261123T020000", "20261121T020000"]
    assert retained(names, last=3, daily=0, weekly=0) == ["20261121T020000"]
    year = ["20261227T020000", "20261228T020000", "20270101T020000", "20270104T020000"]
    assert retained(year, last=0, daily=0, weekly=3) == ["20261228T020000"]


def test_the_last_good_one_is_never_deleted() -> None:
    names = ["20260101T020000+", "20260102T020000+", "20260103T020000", "20260104T020000"]
    assert retained(names, last=1, daily=1, weekly=0) == ["20260103T020000", "20260101T020000"]


def test_what_retention_deletes_is_gone_with_all_that_belongs_to_it(backups: Backups) -> None:
    first = backups.dump()
    for name in sorted(backups.folder.glob(f"{first}*")):
        name.rename(str(name).replace(first, re.sub(r"\d{8}T", "20200101T", first)))
    kept = backups.dump(BACKUP_KEEP_LAST="1", BACKUP_KEEP_DAILY="1", BACKUP_KEEP_WEEKLY="1")
    assert {path.name.partition(".dump")[0] for path in backups.folder.glob("*")} == {
        ".lock", kept.removesuffix(".dump"),
    }  # fmt: skip


def test_make_run_is_backed_up_by_the_same_verbs(backups: Backups, tmp_path: Path) -> None:
    """The programs are the wheel's, the settings those that `make run` wrote."""
    checkout = Checkout(tmp_path / "proj")
    checkout.local.mkdir()
    refused = checkout.run("deploy/local/backup", "restore", "x")
    assert "make run has not run here" in refused.stderr
    (checkout.local / "env").write_text(f"DATABASE_URL={backups.url}\n")
    for verb in ("dump", "drill"):
        done = checkout.run("deploy/local/backup", verb)
        assert done.returncode == 0, done.stdout + done.stderr
    assert ": proven, " in done.stdout
    listed = checkout.run("deploy/local/backup", "restore")
    assert listed.returncode == 0
    assert "make restore FROM=FILE" in listed.stdout
    name = listed.stdout.split()[0]
    done = checkout.run("deploy/local/backup", "restore", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stopped_schedule_waits_for_its_backup_to_clean_up(tmp_path: Path) -> None:
    """In a container it is process 1: what it leaves running is killed with it."""
    scripts = {
        "date": """case "$*" in *-d*) set -- -d '1 second' +%s ;; esac; exec /bin/date "$@" """,
        "sleep": "exec /bin/sleep 0.1",
        "nightly": f"trap '/bin/sleep 0.5; touch {tmp_path}/clean; exit 143' TERM\n"
        f"touch {tmp_path}/begun; while :; do /bin/sleep 0.1; done",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    schedule = subprocess.Popen(
        [SCRIPT.with_name("schedule.sh"), tmp_path / "nightly"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for((tmp_path / "begun").exists, "the backup has begun")
    schedule.terminate()
    assert schedule.wait(60) == 0
    assert (tmp_path / "clean").exists()
