"""What the last release could call, this code can."""

from __future__ import annotations

from django.conf import settings

from durable.contracts import signatures
from durable.contracts.waiting import of_list


def test_every_task_of_the_last_release_takes_what_it_took() -> None:
    known = {name: signatures.signature(task) for name, task in signatures.tasks().items()}
    assert [str(problem) for problem in of_list(known, settings.RELEASED_TASKS)] == []
    assert settings.RELEASED_TASKS.read_text().startswith(signatures.HEADER)
