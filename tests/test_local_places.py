"""`make run` with servers from outside, in odd folders, as root and as a user."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import psycopg
import pytest

from .local_stack import (
    Checkout,
    each,
    pings,
    status,
)

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]


def test_servers_from_outside_replace_the_embedded_ones(fresh: Checkout) -> None:
    database, broker = os.environ["DATABASE_URL"], os.environ["CELERY_BROKER_URL"]
    with psycopg.connect(database, autocommit=True) as link:
        link.execute("CREATE DATABASE outside")
    outside = re.sub(r"/\w+(\?|$)", r"/outside\1", database, count=1)
    other = re.sub(r"/\d+$", "/7", broker)
    (fresh.path / ".env").write_text(f"CELERY_BROKER_URL={other}\n")
    try:
        with fresh.stack(DATABASE_URL=outside) as stack:
            stack.until_ready()
            assert not {"postgres", "valkey"} & {path.name for path in fresh.local.iterdir()}
            assert pings(fresh)
            with psycopg.connect(outside) as link:
                count = link.execute("SELECT count(*) FROM auth_user WHERE is_superuser").fetchone()
            assert count == (1,)
    finally:
        with psycopg.connect(database, autocommit=True) as link:
            link.execute("DROP DATABASE outside WITH (FORCE)")


def test_a_path_too_long_for_a_socket_and_with_odd_characters_works(tmp_path: Path) -> None:
    path = tmp_path / ("a long way down " + "x" * 90) / "50% & more"
    path.mkdir(parents=True)
    checkout = Checkout(path)
    with checkout.stack() as stack:
        stack.until_ready()
        assert pings(checkout)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_it_without_any_power_of_root(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    checkout = Checkout(tmp_path / "proj", user="games")
    with checkout.stack() as stack:
        stack.until_ready()
        assert {each(p.username, "games") for p in checkout.processes()} == {"games"}
        assert pings(checkout)
        assert status(stack) == 200
    done = Checkout.run(checkout, "true")
    assert done.returncode == 0
    checkout.user = "-"
    done = checkout.run("make", "run")
    assert done.returncode == 2
    assert re.fullmatch(
        rf"{checkout.local} belongs to user \d+, and this is user 0: run it as that user, or give "
        rf"it to this one \(sudo chown -R 0 {checkout.local}\), or remove it together with its "
        r"data\n",
        done.stdout,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own a folder that is closed to all")
def test_root_runs_it_in_a_folder_that_stays_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    checkout = Checkout(closed / "proj")
    with checkout.stack() as stack:
        stack.until_ready()
        assert stack.role("postgres").uids().effective != 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
