"""In a project's own tests, which stand in a transaction that never commits."""

from __future__ import annotations

import pytest
from celery import shared_task
from django.db import transaction
from django.test import TestCase

ran: list[str] = []


@shared_task
def notes(label: str) -> str:
    """Say that it ran."""
    ran.append(label)
    return label


@pytest.mark.usefixtures("eager")
class TestCalls(TestCase):
    """Django's own TestCase, whose captured callbacks stay in the connection's list."""

    def setUp(self) -> None:
        ran.clear()
        notes.delay_on_commit("from setUp")

    def test_what_each_block_captures_is_what_was_called_in_it(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as first:
            notes.delay_on_commit("first")
        with self.captureOnCommitCallbacks(execute=True) as second, transaction.atomic():
            notes.delay_on_commit("second")
        assert ran == ["first", "second"]
        assert (len(first), len(second)) == (1, 1)

    def test_what_a_savepoint_rolled_back_is_not_captured(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as captured, transaction.atomic():
            notes.delay_on_commit("kept")
            with transaction.atomic():
                notes.delay_on_commit("gone")
                transaction.set_rollback(True)
        assert ran == ["kept"]
        assert len(captured) == 1

    def test_the_result_is_there_after_the_block(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            result = notes.delay_on_commit("first")
        assert result.get(timeout=5) == "first"
