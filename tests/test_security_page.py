"""docs/security.md: each row has a test that exists or a reason, and its counts add up."""

from __future__ import annotations

import re

import pytest
import yaml

from .pages import named_tests, rows, section
from .tree import ROOT, files

PAGE = ROOT / "docs/security.md"
SECTIONS = [
    title
    for title in re.findall(r"^## (.+)", PAGE.read_text("utf-8"), re.MULTILINE)
    if "ASVS" in title or "CIS" in title or "attack" in title
]


@pytest.mark.parametrize("title", SECTIONS)
def test_each_row_names_a_test_or_a_reason(title: str) -> None:
    for row in rows(PAGE, title):
        assert named_tests(row[-1]) or row[-1] not in {"", "–"}, row


@pytest.mark.parametrize("title", [title for title in SECTIONS if "CIS" in title])
def test_the_rows_of_a_benchmark_are_counted(title: str) -> None:
    found = rows(PAGE, title)
    met = sum(bool(named_tests(row[-1])) for row in found)
    assert (
        f"{len(found)} groups, {met} met by what a test shows, {len(found) - met} with a reason."
        in section(PAGE, title)
    )


def test_what_asvs_asks_is_met_or_named_with_its_reason() -> None:
    (title,) = (title for title in SECTIONS if "ASVS" in title)
    *chapters, total = rows(PAGE, title)
    sums = [0, 0, 0]
    for chapter, asked, met, rest, _ in chapters:
        number = re.findall(r"V(\d+)", chapter)[0]
        left = re.findall(rf"\b{number}\.\d+\.\d+", rest)
        assert len(left) == len(set(left)), chapter
        assert int(asked) == int(met) + len(left), (chapter, len(left))
        sums = [a + b for a, b in zip(sums, (int(asked), int(met), len(left)), strict=True)]
    assert total[1:3] == [str(sums[0]), str(sums[1])]
    assert total[3].startswith(f"{sums[2]} ")


def test_each_attack_of_the_first_test_has_its_row() -> None:
    found = rows(PAGE, "Each attack of the first test")
    numbers = [int(row[0]) for row in found if named_tests(row[-1])]
    assert numbers == list(range(1, 18))


def test_each_action_of_a_workflow_is_named_by_its_commit() -> None:
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        for name in re.findall(r"uses: *(\S+)", file.read_text("utf-8")):
            assert name.startswith("./") or re.search(r"@[0-9a-f]{40}$", name), (file, name)


def test_what_linters_find_and_is_explained_is_counted() -> None:
    marks = {
        "zizmor": (r"zizmor: ignore", ".github/*"),
        "actionlint": (r"-ignore|actionlint: ", ".github/*"),
        "hadolint": (r"hadolint .*ignore=", "docker/Dockerfile*"),
    }
    found = {
        tool: str(sum(len(re.findall(mark, (ROOT / name).read_text())) for name in files(pattern)))
        for tool, (mark, pattern) in marks.items()
    }
    accepted = yaml.safe_load((ROOT / "k8s/accepted-findings.yaml").read_text())
    found |= {tool: f"{len(kinds)} kinds" for tool, kinds in accepted.items()}
    page = (ROOT / "SECURITY.md").read_text()
    assert dict(re.findall(r"^\| ([\w-]+) \| [^|]* \| (\d.*?) \|$", page, re.MULTILINE)) == found
