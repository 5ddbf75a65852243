"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PLACES = (
    "*.md",
    "docs/*.md",
    "docs/runbooks/*.md",
    "*/README.md",
    "*/*/README.md",
    "k8s/components/*/README.md",
)
PAGES = [page for place in PLACES for page in sorted(ROOT.glob(place))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if not target.startswith("http"):
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Return the names that a site gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", page.read_text(), re.MULTILINE)
    assert set(commands) <= targets


def test_the_tree_in_the_readme_is_the_repositorys() -> None:
    tree = (ROOT / "README.md").read_text().split("## Where things are")[1].split("```")[1]
    for line in tree.strip().splitlines():
        name = line.split("  ")[0].strip() if not line.startswith(" ") else ""
        for part in name.split():
            assert (ROOT / part).exists(), part
    for top in ("apps", "durable"):
        named = re.search(rf"^{top}/.*\n((?:  .*\n)*)", tree, re.MULTILINE)
        packages = {init.parent.name for init in ROOT.glob(f"{top}/*/__init__.py")} - {"tests"}
        assert set(re.findall(r"^  (\w+)/", named[1] if named else "", re.MULTILINE)) == packages
