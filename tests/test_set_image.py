"""deploy/k8s/set-image: one entry of one overlay changes, and no word of a person's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .containers import ROOT

SCRIPT = Path("deploy/k8s/set-image")
OVERLAY = """\
# Mine.
resources: [../../../k8s/base]
images:
  # Somebody else's.
  - name: other
    newTag: "7"
  - name: proj # ours
    newName: registry.example/proj # was on the other one
    newTag: 1.2.3
  - name: proj-tools
    newTag: "8"
configMapGenerator:
  - name: proj
    newTag: not an image
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / SCRIPT).parent.mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    overlay = tmp_path / "deploy/overlays/prod"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text(OVERLAY)
    return tmp_path


def file(tree: Path) -> Path:
    return tree / "deploy/overlays/prod/kustomization.yaml"


def set_image(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tree / SCRIPT, *arguments], capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.parametrize(
    ("image", "entry"),
    [
        ("proj:1.10", {"newName": "proj", "newTag": "1.10"}),
        ("host:5000/a/proj:v2", {"newName": "host:5000/a/proj", "newTag": "v2"}),
        ("a/proj@sha256:0123ab", {"newName": "a/proj", "digest": "sha256:0123ab"}),
    ],
)
def test_name_and_tag_are_written_as_text(tree: Path, image: str, entry: dict[str, str]) -> None:
    done = set_image(tree, "prod", image)

    assert done.returncode == 0, done.stderr
    images = yaml.safe_load(file(tree).read_text())["images"]
    assert images == [
        {"name": "other", "newTag": "7"},
        {"name": "proj", **entry},
        {"name": "proj-tools", "newTag": "8"},
    ]


def test_every_other_line_stays_and_a_second_time_changes_nothing(tree: Path) -> None:
    set_image(tree, "prod", "proj:2")
    first = file(tree).read_text()
    set_image(tree, "prod", "proj:2")

    assert file(tree).read_text() == first
    gone = [line for line in OVERLAY.splitlines() if line not in first.splitlines()]
    assert [line.split()[0] for line in gone] == ["newName:", "newTag:"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "ENV is not set"),
        (("prod",), "IMAGE is not set"),
        (("prod", ""), "IMAGE is not set"),
        (("moon", "proj:1"), "deploy/overlays/moon/kustomization.yaml"),
        (("prod", "proj:latest"), "'latest'"),
        (("prod", "proj"), "has no tag"),
        (("prod", "localhost:5000/proj"), "has no tag"),
        (("prod", "proj:"), "has no tag"),
        (("prod", "proj:1:2"), "has no tag"),
        (("prod", "proj:1; rm"), "expected NAME:TAG"),
    ],
)
def test_what_names_no_version_is_refused(
    tree: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = set_image(tree, *arguments)

    assert done.returncode == 1
    assert says in done.stderr
    assert file(tree).read_text() == OVERLAY


def test_an_overlay_without_the_entry_is_left_alone(tree: Path) -> None:
    file(tree).write_text("images: []\n")

    done = set_image(tree, "prod", "proj:1")

    assert done.returncode == 1
    assert "has no entry '- name: proj'" in done.stderr
    assert file(tree).read_text() == "images: []\n"
