"""A worker's memory is that of its main process and of those that it has started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from durable.queue import overview, store


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this account of it")
@pytest.mark.django_db(transaction=True)
def test_a_sign_of_life_tells_the_memory_of_all_processes() -> None:
    store.beat("w", "host", 1, 2, ["default"])
    [before] = overview.workers()
    code = "data = b'x' * 100_000_000; print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout
        assert child.stdin
        child.stdout.readline()
        store.beat("w", "host", 1, 2, ["default"])
        [after] = overview.workers()
        child.stdin.close()
    assert after.memory - before.memory > 80_000
