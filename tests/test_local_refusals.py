"""What a person sees when `make run` can't start."""

from __future__ import annotations

import os
import re
import socket

import pytest

from .local_stack import (
    Checkout,
)

pytestmark = [pytest.mark.local, pytest.mark.timeout(1200)]


def test_a_taken_port_is_named_with_what_to_type_before_anything_starts(fresh: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = fresh.run("make", "run", f"PORT={port}")
    assert done.returncode == 2
    assert re.fullmatch(
        rf"port {port} is taken \(\S+, process {os.getpid()}\); type: make run PORT=(\d+)\n",
        done.stdout,
    )
    assert not (fresh.local / "postgres").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(fresh: Checkout, port: str) -> None:
    done = fresh.run("make", "run", PORT=port)
    assert done.returncode == 2
    expected = f"PORT={port!r}: expected a number from 1 to 65535: make run PORT=8001\n"
    assert done.stdout == expected


def test_a_wrong_setting_stops_the_start_with_its_line_and_leaves_nothing(fresh: Checkout) -> None:
    with fresh.stack(CELERY_TASK_TIME_LIMIT="soon") as stack:
        assert stack.ended() == 2
        assert "migrate  | CELERY_TASK_TIME_LIMIT='soon'" in stack.output
        assert "local    | migrate ended with status 1: its lines are above" in stack.output


def test_a_role_that_can_not_start_stops_everything(fresh: Checkout) -> None:
    with fresh.stack(CELERY_WORKER_POOL="nonsense") as stack:
        assert stack.ended() == 2
        expected = "local    | worker ended 3 times before it was ready: its lines are above"
        assert expected in stack.lines
