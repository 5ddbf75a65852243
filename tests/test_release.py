"""A release in a scratch clone, and the bill of materials of what is shipped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from django.conf import settings

import durable
from tests.local_stack import copy_project

ROOT = Path(settings.BASE_DIR)

#: What may be shipped. LGPL is linked to, never changed: psycopg, python-crontab.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "MIT", "MPL-2.0",
    "PSF-2.0", "Unlicense",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    identity = {"GIT_CONFIG_GLOBAL": "/dev/null"}
    for who in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{who}_NAME": "tester", f"GIT_{who}_EMAIL": "tester@example.org"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **identity}, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    names = {f"GIT_{who}_{part}": "tester@example.org"
             for who in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "deploy.release", version],
        cwd=folder, env={**os.environ, **names}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_release_writes_version_changelog_and_tasks_and_is_tagged(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "clone")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=All")
    for version, why in [("1.x", "expected a version"), ("", "expected a version")]:
        assert why in release(folder, version).stderr
    (folder / "LICENSE").write_text("changed")
    assert "aren't committed" in release(folder, "9.8.7").stderr
    git(folder, "checkout", "LICENSE")

    done = release(folder, "9.8.7")

    assert done.returncode == 0, done.stderr
    assert '__version__ = "9.8.7"' in (folder / "durable" / "__init__.py").read_text()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["version"] == "9.8.7"
    changes = (folder / "durable" / "CHANGELOG.md").read_text()
    assert re.search(r"## Unreleased\n\n## 9\.8\.7 – \d{4}-\d\d-\d\d\n\n### ", changes)
    tasks = (folder / "proj" / "released-tasks.txt").read_text()
    assert "durable.housekeeping.tasks.purge_results()" in tasks
    assert git(folder, "describe", "--tags").strip() == "v9.8.7"
    assert git(folder, "status", "--porcelain") == ""
    assert "nothing under Unreleased" in release(folder, "9.8.8").stderr
    assert "exists already" in release(folder, "9.8.7").stderr


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == durable.__version__ == settings.APP_VERSION


def sbom() -> Any:
    loader = SourceFileLoader("sbom", str(ROOT / "docker" / "sbom"))
    spec = spec_from_loader("sbom", loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def shipped() -> set[str]:
    """Return the packages that the image installs here: some are for other versions of Python."""
    names: set[str] = set()
    for lock in ("runtime", "example"):
        path = ROOT / "requirements" / f"{lock}.txt"
        text = path.read_text() if path.exists() else ""
        names |= set(re.findall(r"^([a-z0-9-]+)==\S+ \\$", text, re.MULTILINE))
    return names


def test_every_package_of_the_image_has_a_license_that_is_allowed() -> None:
    found = {each["name"]: each.get("licenses") for each in sbom().python()}
    assert len(shipped() & found.keys()) > 30
    for name in sorted(shipped() & found.keys()):
        assert found[name], f"{name}: its metadata names no license"
        said = found[name][0]["license"]["name"]
        assert set(re.split(r" (?:AND|OR) ", said)) & ALLOWED, f"{name}: {said}"
        if " OR " not in said:
            assert set(said.split(" AND ")) <= ALLOWED, f"{name}: {said}"


def test_the_bill_of_materials_is_cyclonedx(capsys: pytest.CaptureFixture[str]) -> None:
    sbom().main()
    text = capsys.readouterr().out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {"django", "celery"} <= {each["name"] for each in json.loads(text)["components"]}
