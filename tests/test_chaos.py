"""A part of the fault suite (`make chaos`), and proof that it sees what it is there to see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from .chaos import count, faults, page, picture
from .chaos.fault import Fault
from .chaos.faults.redis import Emptied
from .chaos.faults.web import Died
from .chaos.faults.workers import AllWorkersKilled
from .chaos.files import ROOT
from .chaos.load import Answers, Load
from .chaos.runner import Outcome, run_fault
from .chaos.soak import sequence
from .chaos.stack import Stack
from .chaos.table import markdown
from .containers import run

needs_containers = [pytest.mark.container, pytest.mark.timeout(1800)]


def run_one(stack: Stack, fault: type[Fault]) -> Outcome:
    return run_fault(stack, fault(), fault.name, 1, print)


@pytest.fixture(scope="module")
def chaos(image: str) -> Iterator[Stack]:
    with Stack(image=image) as stack:
        yield stack


class TestTheProject:
    """Nothing is lost and nothing runs twice."""

    pytestmark = needs_containers

    @pytest.mark.parametrize("fault", [AllWorkersKilled, Emptied, Died])
    def test_a_fault_loses_nothing_and_doubles_nothing(
        self, chaos: Stack, fault: type[Fault]
    ) -> None:
        outcome = run_one(chaos, fault)
        assert outcome.enqueued >= 200
        assert (outcome.lost, outcome.twice) == ([], [])
        assert outcome.executed == outcome.enqueued

    def test_what_is_missing_or_too_much_is_counted(self, chaos: Stack) -> None:
        chaos.sql(
            "INSERT INTO chaos_operation (label, operation, kind) VALUES"
            " ('made-up', 'made-up/1', 'short'), ('made-up', 'made-up/2', 'short'),"
            " ('made-up', 'made-up/3', 'short'), ('made-up', 'made-up/4', 'poison')"
        )
        chaos.sql(
            "INSERT INTO chaos_effect (operation, host, pid) VALUES ('made-up/1', 'here', 1),"
            " ('made-up/2', 'here', 1), ('made-up/2', 'there', 1), ('made-up/9', 'here', 1)"
        )
        found = count.count(chaos, "made-up", Answers(accepted={"made-up/1", "made-up/7"}))
        assert (found.enqueued, found.executed) == (4, 4)
        assert found.lost == [
            "made-up/3 (short)",
            "made-up/4 (poison: neither failed nor in quarantine)",
            "made-up/7 (accepted, and not in the database)",
        ]
        assert found.doubled == ["made-up/2 (short)", "made-up/9 (it was rolled back)"]
        chaos.sql(
            "INSERT INTO chaos_span SELECT 'key', 'made-up/' || n, now() + n * interval '1 s',"
            " now() + 3 * interval '1 s' FROM generate_series(1, 2) AS n"
        )
        assert count.over_limit(chaos, "made-up") == []
        chaos.sql(
            "INSERT INTO chaos_span SELECT key, 'made-up/3', began, ended FROM chaos_span"
            " WHERE operation = 'made-up/2'"
        )
        assert count.over_limit(chaos, "made-up") == [
            "made-up/2 ran beside 2 others with its key",
            "made-up/3 ran beside 2 others with its key",
        ]

    def test_ticks_that_come_too_early_are_counted(self, chaos: Stack) -> None:
        chaos.sql(
            "INSERT INTO chaos_tick (every, sent_at) VALUES (900, '2100-01-01 00:00:00Z'),"
            " (900, '2100-01-01 00:07:29Z'), (900, '2100-01-01 00:22:29Z')"
        )
        since = 4102444800 - 60  # a minute before
        assert count.doubled_ticks(chaos, since) == [
            "tick of every 900 s, 449.00 s after the one before"
        ]


@pytest.mark.container
@pytest.mark.timeout(1800)
def test_with_the_documented_settings_the_suite_sees_losses(image: str) -> None:
    with Stack(image=image, baseline=True) as stack:
        outcome = run_one(stack, AllWorkersKilled)
    assert outcome.lost
    assert outcome.executed < outcome.enqueued


@pytest.mark.container
def test_the_image_holds_nothing_of_the_suite(image: str) -> None:
    found = run(
        "docker", "run", "--rm", "--entrypoint", "find", image,
        "/app", "/opt/venv", "-path", "*chaos*",
    )  # fmt: skip
    assert found.stdout == ""


def test_a_seed_chooses_the_same_faults_again() -> None:
    def first(seed: int) -> list[tuple[str, float, float]]:
        chosen = itertools.islice(sequence(seed), 30)
        return [(fault.name, pause, random.random()) for fault, pause, random in chosen]

    assert first(7) == first(7)
    assert first(7) != first(8)


def test_a_seed_chooses_the_same_load_again() -> None:
    def first(seed: int) -> list[dict[str, object]]:
        load = Load(cast(Stack, None), "label", 1.0, seed)
        return [load.operation("long") for _ in range(5)]

    assert first(7) == first(7)
    assert first(7) != first(8)


def test_percentiles_are_those_of_what_was_sent_in_between() -> None:
    answers = Answers(seconds=[(1.0, 9.0), *((2.0, n / 100) for n in range(200)), (3.0, 9.0)])
    assert answers.percentiles(1.5, 2.5) == (1.0, 1.98)
    assert answers.percentiles(7, 8) == (0.0, 0.0)


def test_every_fault_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len(faults.BY_NAME) == len(faults.ALL) > 20
    assert all(fault.what and fault.__doc__ for fault in faults.ALL)
    assert f"`make chaos` causes {len(faults.ALL)} faults" in (ROOT / "README.md").read_text()


def test_the_table_has_a_line_for_each_outcome() -> None:
    lost = Outcome("x", "it breaks", enqueued=3, executed=1, lost=["a", "b"], ended=1)
    assert markdown([lost]).splitlines()[-1] == (
        "| x | it breaks | 3 | 1 + 1 ended | 2 | 0 | 0 | 0 | never | 0 of 0 | 0 / 0 |"
    )


def test_a_failed_request_fails_a_verb_that_visitors_must_not_notice() -> None:
    assert Outcome("x", "it breaks", failed_requests=1).good
    assert not Outcome("x", "it breaks", failed_requests=1, noticed=False).good
    named = {fault.name for fault in faults.ALL if fault.verb and fault.noticed}
    assert named == set()


@pytest.mark.parametrize("section", ["faults", "baseline"])
def test_the_page_has_a_line_for_every_fault(section: str) -> None:
    text = page.between((ROOT / "docs" / "faults.md").read_text("utf-8"), section)
    named = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")}
    shown = {fault.name for fault in faults.ALL if section == "faults" or not fault.verb}
    assert named - {"fault", "---"} == shown


def test_the_picture_shows_what_the_page_says() -> None:
    path = ROOT / "docs" / "faults.md"
    text = path.read_text("utf-8")
    ours, documented = picture.rows(text, "faults"), picture.rows(text, "baseline")
    assert picture.picture_of(path).read_text("utf-8") == picture.draw(ours, documented)


def test_the_picture_shows_what_this_project_loses_too() -> None:
    name = next(iter(faults.BY_NAME))
    harmed, whole = picture.Row(9, lost=1, twice=2, late=3), picture.Row(9, 0, 0, 0)
    svg = picture.draw({name: harmed}, {name: whole})
    assert '<text class="lost" x="888"' in svg
    assert "this project lost, doubled or held back 6" in svg


def test_a_section_is_replaced_and_the_words_around_it_stay() -> None:
    before = "a\n<!-- faults: by hand -->\nold\n<!-- end of faults -->\nz\n"
    after = page.replaced(before, "faults", "new\\1")
    assert after == "a\n<!-- faults: by hand -->\n\nnew\\1\n<!-- end of faults -->\nz\n"
    with pytest.raises(ValueError, match="no section soak"):
        page.replaced(before, "soak", "new")


def test_a_run_of_some_faults_leaves_the_rows_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "faults.md")
    page.PAGE.write_text("<!-- faults: by a test -->\n<!-- end of faults -->\n")
    first, second = list(faults.BY_NAME)[:2]
    page.write("faults", {"Redis": "7"}, [Outcome(second, "b", enqueued=1, executed=1)])
    page.write("faults", {"Redis": "8"}, [Outcome(first, "a", enqueued=2, executed=2)])
    page.write("faults", {"Redis": "8"}, [Outcome(first, "a", enqueued=3, executed=3)])
    lines = page.PAGE.read_text().splitlines()
    assert [line[:40] for line in lines if line.startswith("| ")][2:] == [
        f"| {first} | a | 3 | 3 | 0 | 0 | 0 | 0 | never | 0"[:40],
        f"| {second} | b | 1 | 1 | 0 | 0 | 0 | 0 | never | 0"[:40],
    ]
    assert "With Redis 8." in lines
