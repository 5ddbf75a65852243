"""The listings of docs/tasks.md run, as they stand there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import unittest
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
LISTINGS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
CELERYS, DJANGOS, SETTINGS, *EXAMPLES = LISTINGS
#: Each of the others brings its tests.
TESTS = [
    pytest.param(listing, name, id=name)
    for listing in EXAMPLES
    for name in re.findall(r"^(?:def (?=test_)|class (?=\w+\(TasksMixin))(\w+)", listing, re.M)
]


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


@pytest.mark.django_db
@pytest.mark.parametrize(("listing", "name"), TESTS)
def test_a_feature_does_what_the_page_shows(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, listing: str, name: str
) -> None:
    found = vars(module(f"page_of_{name}", listing, monkeypatch))[name]
    if not isinstance(found, type):
        found(
            **{each: request.getfixturevalue(each) for each in inspect.signature(found).parameters}
        )
        return
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(found).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])


def test_every_listing_is_run() -> None:
    assert {param.values[0] for param in TESTS} == set(EXAMPLES)


def test_mypy_finds_the_errors_that_the_page_shows(tmp_path: Path) -> None:
    [listing] = [text for text in EXAMPLES if "# error: " in text]
    path = tmp_path / "listing.py"
    path.write_text(listing)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", path],
        cwd=projects.BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip
    said = re.findall(r":(\d+): error: .*\[([a-z-]+)\]$", found.stdout, re.MULTILINE)
    lines = enumerate(listing.splitlines(), 1)
    wanted = [(str(n), line.partition("# error: ")[2]) for n, line in lines if "# error: " in line]
    assert said == wanted, found.stdout + found.stderr
