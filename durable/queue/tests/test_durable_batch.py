"""The command that starts a worker of batches, as far as it gets without one."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command

from durable.queue.batch import supervisor


@pytest.mark.parametrize("pool", ["nonsense", "celery.concurrency.solo:Pool"])
def test_a_pool_that_no_worker_has_is_refused(monkeypatch: Any, pool: str) -> None:
    monkeypatch.setitem(current_app.conf, "worker_pool", pool)
    with pytest.raises(CommandError, match=f"CELERY_WORKER_POOL={pool}: expected one of prefork"):
        call_command("durable_batch")


@pytest.mark.parametrize("pool", ["threads", "celery.concurrency.solo:TaskPool"])
def test_a_pool_for_the_workers_beside_it_is_none_of_its_own(monkeypatch: Any, pool: str) -> None:
    def supervise(*_: Any) -> None:
        raise SystemExit("reached")

    monkeypatch.setitem(current_app.conf, "worker_pool", pool)
    monkeypatch.setattr(supervisor, "Supervisor", supervise)
    with pytest.raises(SystemExit, match="reached"):
        call_command("durable_batch")
