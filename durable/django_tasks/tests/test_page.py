"""The listings of docs/tasks.md run."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings as projects
from django.contrib.auth.models import Group

from durable.testing.tasks import Tasks

PAGE = Path(projects.BASE_DIR) / "docs/tasks.md"
CELERYS, DJANGOS, SETTINGS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:3]


def module(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(text, str(PAGE), "exec"), vars(made))  # noqa: S102 - it is this repository's
    return made


@pytest.mark.parametrize(("name", "text"), [("page_celery", CELERYS), ("page_django", DJANGOS)])
def test_the_ten_tasks_of_the_page_run_in_both_apis(
    tasks: Tasks, settings: Any, monkeypatch: pytest.MonkeyPatch, mailoutbox: Any, name: str,
    text: str,
) -> None:  # fmt: skip
    text = text.replace("range(1000)", "range(10)")
    settings.TASKS = module("page_settings", SETTINGS, monkeypatch).TASKS
    result = module(name, text, monkeypatch).use()
    ran = tasks.run(until=timedelta(days=1), raising=False)
    assert Counter(one.state for one in ran) == {"SUCCESS": 18, "RETRY": 3, "FAILURE": 1}
    assert result() == "one"
    expected = {"one", "two", "three", "ten", "total 45", *(f"many {n}" for n in range(10))}
    assert set(Group.objects.values_list("name", flat=True)) == expected
    assert len(mailoutbox) == 1
