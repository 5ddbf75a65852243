"""The listings of docs/tasks.md run, as they stand there."""

from __future__ import annotations

import inspect
import json
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


@pytest.fixture
def wrong(tmp_path: Path) -> tuple[Path, list[tuple[int, str]]]:
    """Return the file of the listing with errors; their lines, and mypy's names for them."""
    [listing] = [text for text in EXAMPLES if "# error: " in text]
    path = tmp_path / "listing.py"
    path.write_text(listing)
    lines = enumerate(listing.splitlines(), 1)
    return path, [(n, line.partition("# error: ")[2]) for n, line in lines if "# error: " in line]


def check(*command: str | Path) -> str:
    """Run a type checker, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=projects.BASE_DIR, capture_output=True, text=True
    )
    return done.stdout or done.stderr


def test_mypy_finds_the_errors_that_the_page_shows(wrong: Any) -> None:
    path, expected = wrong
    said = check("mypy", "--no-error-summary", path)
    found = re.findall(r":(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)
    assert [(int(line), name) for line, name in found] == expected, said


#: Pyright's names of mypy's errors.
PYRIGHTS = {
    "arg-type": "reportArgumentType",
    "call-arg": "reportCallIssue",
    "list-item": "reportArgumentType",
}


def test_pyright_finds_them_too(wrong: Any) -> None:
    path, expected = wrong
    config = {"include": [path.name], "extraPaths": [str(projects.BASE_DIR)],
              "typeCheckingMode": "standard"}  # fmt: skip
    path.with_name("pyrightconfig.json").write_text(json.dumps(config))
    said = check("basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", path.parent)
    found: dict[int, set[str]] = {}  # of an overload it says two
    for one in json.loads(said)["generalDiagnostics"]:
        if one["severity"] == "error":
            found.setdefault(one["range"]["start"]["line"] + 1, set()).add(one["rule"])
    assert found.keys() == {line for line, _ in expected}, said
    assert [name for line, name in expected if PYRIGHTS[name] not in found[line]] == [], said
