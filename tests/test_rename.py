"""A clone gets a name of its own, and all of it goes on."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from .fixtures_worker import PATIENCE
from .local_stack import copy_project
from .test_release import git
from .tree import ROOT


class Shop:
    """The project as `plum`."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_project(folder)
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message=All")
        (folder / ".git/info/exclude").write_text(".venv\n")
        (folder / ".venv").symlink_to(sys.prefix)

    def type(self, *command: str | Path, ok: bool = True) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        url = urlsplit(os.environ["DATABASE_URL"])
        env |= {
            # Its tests make a database of their own beside this run's.
            "TEST_DATABASE_URL": urlunsplit(url._replace(path="/plum")),
            "TEST_BROKER_URL": os.environ["CELERY_BROKER_URL"],
        }
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False,
            timeout=2 * PATIENCE,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, f"{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    clone = Shop(tmp_path_factory.mktemp("named") / "clone")
    assert "expected 2 to 20" in clone.type("deploy/rename", "My-Shop", ok=False)
    for name in ("json", "apps", "ninja", "order", "admin"):
        assert "means something else" in clone.type("deploy/rename", name, ok=False)
    assert "proj is plum now" in clone.type("deploy/rename", "plum")
    return clone


def test_no_word_of_the_old_name_is_left(shop: Shop) -> None:
    git(shop.folder, "add", "--all")
    left = shop.type("sh", "-c", "git grep -I -n -w proj || true") + shop.type(
        "sh", "-c", "git ls-files | grep -w proj || true"
    )
    assert left == ""
    assert "aren't committed" in shop.type("deploy/rename", "other", ok=False)


@pytest.mark.django_db
def test_a_name_may_be_no_word_of_sql() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "rename"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT word FROM pg_get_keywords() WHERE catcode = 'R'")
        words = {word for (word,) in cursor.fetchall() if script["NAME"].fullmatch(word)}
    assert words <= set(script["SQL_WORDS"].split())


def test_it_is_in_the_style_and_its_layers_hold(shop: Shop) -> None:
    bin_ = Path(sys.executable).parent
    shop.type(bin_ / "ruff", "check", ".")
    shop.type(bin_ / "ruff", "format", "--check", ".")
    shop.type(bin_ / "lint-imports", "--no-cache")


def test_its_settings_load_and_the_quick_tests_pass(shop: Shop, django_db_setup: None) -> None:
    said = shop.type(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db",
        "plum/tests/test_boot.py",
        "tests/test_documented_settings.py", "tests/test_readme.py",
    )  # fmt: skip
    assert " passed" in said


def test_compose_and_the_overlays_have_the_name(shop: Shop) -> None:
    if shutil.which("docker"):
        found = json.loads(shop.type("docker", "compose", "config", "--format", "json"))
        assert (found["name"], found["services"]["web"]["image"]) == ("plum", "plum:local")
    if shutil.which("kubectl"):
        text = shop.type("kubectl", "kustomize", "deploy/overlays/prod")
        assert "namespace: plum-prod" in text
        assert "app.kubernetes.io/name: plum" in text
