"""docker/publish-static: a page that was loaded before an update finds its files after it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .tree import ROOT

DAY = 24 * 3600


def publish(tmp_path: Path, *names: str) -> set[str]:
    """Publish a version with the files named; return the names that are served then."""
    static = tmp_path / "app" / "staticfiles"
    shutil.rmtree(tmp_path / "app", ignore_errors=True)
    for name in ("staticfiles.json", *names):
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text(name)
    (script := tmp_path / "app" / "docker" / "publish-static").parent.mkdir()
    shutil.copy(ROOT / "docker" / "publish-static", script)
    served = tmp_path / "proxy" / "static"
    subprocess.run([script, served], check=True)
    return {str(file.relative_to(served)) for file in served.rglob("*") if file.is_file()}


def age(tmp_path: Path, days: int) -> None:
    """Let *days* pass."""
    for file in (tmp_path / "proxy").rglob("*"):
        then = file.stat().st_mtime - days * DAY
        os.utime(file, (then, then))


def test_files_stay_for_30_days_after_the_last_version_that_had_them(tmp_path: Path) -> None:
    assert publish(tmp_path, "a.1.css", "js/b.1.js") == {"a.1.css", "js/b.1.js"}
    age(tmp_path, 100)  # it ran for so long, and is replaced only now
    assert publish(tmp_path, "a.2.css", "js/b.1.js") == {"a.1.css", "a.2.css", "js/b.1.js"}
    age(tmp_path, 29)
    assert "a.1.css" in publish(tmp_path, "a.3.css")
    age(tmp_path, 29)
    assert publish(tmp_path, "a.3.css") == {"a.2.css", "a.3.css", "js/b.1.js"}


def test_no_file_is_written_while_it_is_served(tmp_path: Path) -> None:
    publish(tmp_path, "a.1.css")
    served = tmp_path / "proxy" / "static" / "a.1.css"
    (witness := tmp_path / "witness").hardlink_to(served)
    witness.write_text("")  # a disk was full
    publish(tmp_path, "a.1.css")
    assert (served.read_text(), witness.read_text()) == ("a.1.css", "")
    assert {path.name for path in (tmp_path / "proxy").iterdir()} == {"static", "static.list"}
