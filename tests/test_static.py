"""The linters and the type checker find nothing, in any language of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from .tree import files

ROOT = Path(settings.BASE_DIR)
BIN = Path(sys.executable).parent


def tracked(*patterns: str) -> list[str]:
    """Return the repository's files that match: a linter of no file would find nothing, too."""
    found = files(*patterns)
    assert found, patterns
    return found


def assert_clean(*command: str | Path) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_ruff_finds_nothing() -> None:
    assert_clean(BIN / "ruff", "check", ".")


def test_every_python_file_is_formatted() -> None:
    assert_clean(BIN / "ruff", "format", "--check", ".")


@pytest.mark.timeout(1200)
def test_mypy_finds_nothing() -> None:
    assert_clean(BIN / "mypy")


def test_shellcheck_finds_nothing() -> None:
    begins = (b"#!/bin/sh", b"#!/usr/bin/env bash", b"# shellcheck shell=")
    scripts = [name for name in tracked() if (ROOT / name).read_bytes()[:40].startswith(begins)]
    assert {"docker/entrypoint.sh", "deploy/compose/roll.sh"} <= set(scripts)
    assert_clean(BIN / "shellcheck", *scripts)


def test_hadolint_finds_nothing() -> None:
    assert_clean(BIN / "hadolint", *tracked("docker/Dockerfile*"))


def test_yamllint_finds_nothing() -> None:
    assert_clean(BIN / "yamllint", "--strict", *tracked("*.yml", "*.yaml", ".yamllint"))


def test_zizmor_finds_nothing() -> None:
    """Actions by digest, the least permissions, no text of a stranger's in a command."""
    assert_clean(BIN / "zizmor", "--offline", "--no-progress", ".github")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("github-workflows", ".github/workflows/*"), ("dependabot", ".github/dependabot.yml")],
)
def test_the_workflows_are_what_github_reads(schema: str, pattern: str) -> None:
    """The workflow `ci` runs actionlint as well, which only Go brings."""
    assert_clean(BIN / "check-jsonschema", f"--builtin-schema=vendor.{schema}", *tracked(pattern))


def test_no_committed_file_names_a_package_index() -> None:
    """A mirror must work as well: the locks carry hashes and no addresses."""
    hosts = ("pypi." + "org", "pythonhosted." + "org", "registry.npmjs." + "org")
    for name in tracked():
        content = (ROOT / name).read_bytes()
        assert not [host for host in hosts if host.encode() in content], name


def test_the_locks_are_what_pyproject_asks_for(tmp_path: Path) -> None:
    """Compiling again from the locks' own pins changes nothing."""
    others: dict[str, tuple[str, ...]] = {
        "runtime": (), "local": ("runtime",), "dev": ("runtime", "local"), "bench": ("runtime",),
        "debug": ("runtime",), "audit": (),
    }  # fmt: skip
    if (ROOT / "requirements" / "example.txt").exists():  # until the example is taken out
        others["example"] = ("runtime",)
    projects = ["pyproject.toml", "durable/pyproject.toml", "--all-extras"]
    for group, pinned in others.items():
        lock = tmp_path / f"{group}.txt"
        shutil.copy(ROOT / "requirements" / f"{group}.txt", lock)
        before = pins(lock)
        assert_clean(
            BIN / "uv", "pip", "compile", "-q", "--universal", "--generate-hashes", "--no-header",
            *(f"--constraints=requirements/{name}.txt" for name in pinned),
            *(projects if group not in {"example", "debug", "audit"} else []),
            *(["--group", group] if group != "runtime" else []), "-o", lock,
        )  # fmt: skip
        assert pins(lock) == before


def pins(lock: Path) -> list[str]:
    return sorted(line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line)
