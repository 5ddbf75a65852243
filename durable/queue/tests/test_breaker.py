"""The breaker of the fast path never stays open for want of somebody who closes it."""

from __future__ import annotations

import threading

import pytest

from durable.queue.fastpath import Breaker


def test_it_closes_again_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    breaker = Breaker()
    monkeypatch.setattr(threading.Thread, "start", too_many)
    breaker.trip()
    assert not breaker.is_open
