"""docs/settings-checks.md lists every check that there is, in the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from durable.checks.invariant import INVARIANTS
from durable.checks.table import rows

ROOT = Path(settings.BASE_DIR)
TEXT = (ROOT / "docs" / "settings-checks.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| ((?:proj|durable)\.[EW]\d{3}) \|", TEXT, re.MULTILINE)


def test_each_invariant_has_its_row_and_no_row_is_left_over() -> None:
    table = [line for line in TEXT.splitlines() if line.startswith("| proj.")]
    assert table == rows()


def test_the_queues_own_checks_are_listed() -> None:
    source = (ROOT / "durable" / "queue" / "checks.py").read_text(encoding="utf-8")
    written = sorted(set(re.findall(r'id="(durable\.\w+)"', source)))
    assert [id_ for id_ in LISTED if id_.startswith("durable.")] == written


def test_no_id_stands_for_two_things() -> None:
    assert len({i.id for i in INVARIANTS}) == len(INVARIANTS)
    assert len(set(LISTED)) == len(LISTED)
