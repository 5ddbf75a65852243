"""What the pages say of the code is what the code says."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from durable.queue import conf, places, store
from durable.queue.states import STATES
from tests.pages import named_tests, rows, there_is
from tests.test_readme import PAGES, ROOT

PROTOCOL = ROOT / "docs/protocol.md"
TROUBLES = ROOT / "docs/troubles.md"
LONGEST_LINE = 120


def pages(select: Any = lambda page: True) -> Any:
    found = [page for page in PAGES if select(page)]
    return pytest.mark.parametrize("page", found, ids=lambda page: str(page.relative_to(ROOT)))


def value_of(path: str) -> str:
    """Return what *path* names: a module, a name in it, and attributes or keys of that."""
    so_far, *names = path.split(".")
    value: Any = import_module(so_far)
    for name in names:
        so_far = f"{so_far}.{name}"
        if isinstance(value, dict):
            value = value[name]
        else:
            value = getattr(value, name) if hasattr(value, name) else import_module(so_far)
    value = value.total_seconds() if isinstance(value, timedelta) else value
    return f"{value:g}" if isinstance(value, float) else str(value)


@pages(lambda page: "<!-- value: " in page.read_text())
def test_a_number_in_a_page_is_the_codes(page: Path) -> None:
    marked = r"<!-- value: (\S+) -->(.*?)<!-- /value -->"
    found = re.findall(marked, page.read_text())
    assert found == [(path, value_of(path)) for path, _ in found]


@pages(lambda page: re.search(r"[`:]test_", page.read_text()))
def test_a_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    assert [test for test in named_tests(text) if not there_is(*test)] == []
    named = set(re.findall(r"`(test_\w+)`", text))
    files = [path for top in ("durable", "tests") for path in (ROOT / top).rglob("test_*.py")]
    there = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert named <= there


@pages()
def test_no_line_outside_of_tables_is_too_long(page: Path) -> None:
    text = re.sub(r"<!-- /?value.*?-->", "", page.read_text())
    text = re.sub(r"<!-- (bench\.\w+|\w+: written by).*?<!-- end of ", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    breakable = re.compile(r"(?!\|)(?! *(- )?`[^`]+`\W*$)")  # no table, no command by itself
    lines = [line for line in text.splitlines() if breakable.match(line)]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


class TestTheProtocol:
    def test_has_the_states_of_the_code(self) -> None:
        written = [[name, state.meaning, f"`{state.sql}`"] for name, state in STATES.items()]
        assert rows(PROTOCOL, "States") == written

    def test_has_every_statement_that_changes_a_row(self) -> None:
        changes = re.compile(
            r"(UPDATE|DELETE FROM|INSERT INTO) durable_task\b|_picked\(|\b_delete\("
        )
        there = {
            name for name, function in inspect.getmembers(store, inspect.isfunction)
            if not name.startswith("_") and changes.search(inspect.getsource(function))
        }  # fmt: skip
        there.add(places.admit.__name__)
        named = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows(PROTOCOL, "Transitions")))
        assert sorted(named) == sorted(there)

    def test_draws_the_transitions_of_its_table(self) -> None:
        drawn = set(re.findall(r"^ +(\S+) --> ([^:\s]+):", PROTOCOL.read_text(), re.MULTILINE))
        listed = {
            (old, new) for _, olds, news, _ in rows(PROTOCOL, "Transitions")
            for old in olds.replace("(no row)", "[*]").split(", ")
            for new in news.replace("(no row)", "[*]").split(", ")
        }  # fmt: skip
        assert drawn == listed


def test_each_trouble_has_its_number_what_is_seen_now_and_a_test() -> None:
    found = rows(TROUBLES, "Each trouble")
    assert [row[0] for row in found] == [str(number) for number in range(1, len(found) + 1)]
    assert [row for row in found if not (row[1] and row[2] and named_tests(row[3]))] == []


def test_every_setting_of_the_queue_is_explained() -> None:
    text = "".join(page.read_text() for page in ROOT.glob("docs/*.md"))
    assert [name for name in conf.DEFAULTS if f"DURABLE_{name}" not in text] == []
