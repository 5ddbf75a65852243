"""While the database is away, one request at a time waits for it."""

from __future__ import annotations

from durable.database.postgresql.breaker import PAUSE, Breaker

PATIENCE = 3.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_held_up_before_a_failure_and_after_a_success() -> None:
    breaker = Breaker(PATIENCE)
    assert [breaker.may_try() for _ in range(3)] == [True] * 3
    breaker.failed()
    assert not breaker.may_try()
    breaker.succeeded()
    assert [breaker.may_try() for _ in range(3)] == [True] * 3


def test_after_a_pause_one_tries_and_the_others_do_not_wait_with_it() -> None:
    clock = Clock()
    breaker = Breaker(PATIENCE, clock)
    breaker.failed()
    clock.now += PAUSE
    assert [breaker.may_try() for _ in range(3)] == [True, False, False]
    breaker.failed()
    assert not breaker.may_try()


def test_a_try_of_which_nothing_was_heard_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    breaker = Breaker(PATIENCE, clock)
    breaker.failed()
    clock.now += PAUSE
    assert breaker.may_try()
    clock.now += PATIENCE
    assert breaker.may_try()
