"""An app as docs/own-app.md writes it, word for word: its models, tasks, test and waivers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings

from tests.local_stack import copy_project

ROOT = Path(settings.BASE_DIR)


def listings(kind: str) -> list[str]:
    """Return what the page shows of a *kind*, without its indentation in a list."""
    page = (ROOT / "docs/own-app.md").read_text()
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", page, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def files() -> dict[str, str]:
    """Return the page's files: the parts of one of them go together, and imports come first."""
    found = defaultdict(list)
    for part in re.split(r"^# (?=\w+/)", "".join(listings("python")), flags=re.MULTILINE)[1:]:
        name, text = part.split("\n", 1)
        found[re.sub(r",.*", "", name)].append(text)
    imports = re.compile(r"^(?:from|import) .*\n", re.MULTILINE)
    return {
        name: "".join(dict.fromkeys(imports.findall("".join(parts))))
        + "\n\n".join(imports.sub("", part).strip("\n") + "\n" for part in parts)
        for name, parts in found.items()
    }


@pytest.fixture
def project(tmp_path: Path, django_db_setup: None) -> Path:
    """A copy of the project with the page's app in the example's place."""
    folder = copy_project(tmp_path / "proj")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "apps/shop/migrations").mkdir(parents=True)
    for package in ("apps/shop", "apps/shop/migrations"):
        (folder / package / "__init__.py").touch()
    own = folder / "proj/own_settings.py"
    docstring = own.read_text().split('"""')[1]
    for name, text in files().items():
        (folder / name).write_text(text)
    own.write_text(f'"""{docstring}"""\n\n{own.read_text()}')
    waivers, overrides = listings("toml")[0].split("\n\n", 1)
    header, line = re.sub(r" #.*", "", waivers).split("\n")
    pyproject = (folder / "pyproject.toml").read_text()
    assert pyproject.count(f"{header}\n") == 1
    text = pyproject.replace(f"{header}\n", f"{header}\n{line}\n") + f"\n{overrides}"
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_app_of_the_page_passes_its_test_and_the_linter(project: Path) -> None:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/shop")  # its tests make test_shop
    # Without the settings' name, by which pytest-django would read them before conftest.py does.
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    env["TEST_DATABASE_URL"] = urlunsplit(url)
    env["TEST_BROKER_URL"] = os.environ["CELERY_BROKER_URL"]

    def python(*arguments: str) -> None:
        done = subprocess.run(
            [".venv/bin/python", *arguments], cwd=project, env=env,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"

    python("manage.py", "makemigrations", "shop")
    python("-m", "pytest", "-q", "apps/shop")
    python("-m", "ruff", "check", "--fix", "apps/shop", "proj")
