"""The memory of both roles is bounded by the chunk, not by the file: real processes, real HTTP."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from bench import procfs
from bench.api_client import ApiClient
from bench.csv_files import flights, unlike
from tests.fixtures_worker import StartRole, free_port, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

#: MB of the largest file, and that the web role may grow by. It grows by some 20 to 35, whatever
#: the size: buffers, and what malloc keeps for each thread. The whole file is twice the limit.
LARGEST = 80
WEB_GROWTH = LARGEST / 2
#: MB that one child of a worker may have in all: 170 to 190, of which 50 are pages of DuckDB's
#: library that all children share.
WORKER_CHILD = 230


def started(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/accounts/login/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_neither_role_grows_with_the_file(start_role: StartRole) -> None:
    User.objects.create_user("ada", password="analytical engine")
    call_command("createcachetable", verbosity=0)
    address = f"127.0.0.1:{free_port()}"
    web = start_role("web", WEB_BIND=address, WEB_CONCURRENCY="1")
    worker = start_role("worker")
    wait_for(lambda: started(address), "the web role answers")
    client = ApiClient(address, "ada", "analytical engine")
    warm_up = b"a,b\n1,2\n"
    assert client.wait(client.upload([warm_up], len(warm_up)))["state"] == "done"
    (web_child,) = procfs.children(web.process.pid)
    workers = procfs.children(worker.process.pid)
    before = procfs.resident(web_child)

    for pieces in (flights(LARGEST), unlike(20)):
        for pid in (web_child, *workers):
            procfs.reset_peak(pid)
        data = list(pieces)
        size = sum(map(len, data))
        report = client.wait(client.upload(data, size))

        assert report["state"] == "done"
        assert report["progress"]["done"] > size / 2**20 - 1
        assert procfs.peak(web_child) - before < WEB_GROWTH
        assert max(map(procfs.peak, workers)) < WORKER_CHILD
