"""The systemd units: correct, and as closed as their roles allow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .containers import without

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "deploy" / "systemd"
ROLES = ("proj-web.service", "proj-worker@1.service", "proj-beat.service")
ONE_SHOT = ("proj-migrate.service", "proj-backup.service")
#: What starts beside the roles of an older release, before it takes their place.
NEXT = ("next-proj-migrate.service", *(f"next-{role}" for role in ROLES))
#: Of 10; services without any sandbox have 9.6.
EXPOSURE = 1.5
# Keys that give Restart= its growing pauses; older versions ignore them.
SINCE_254 = ("RestartSteps", "RestartMaxDelaySec")


@pytest.fixture
def systemd() -> None:
    if shutil.which("systemd-analyze") is None:
        without("systemd-analyze is missing: apt-get install systemd")


needs_systemd = pytest.mark.usefixtures("systemd")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units of a release in this folder, and those of it that start beside an older one."""
    script = '. deploy/systemd/release.sh; write_units "$1"; write_next_units "$1"'
    subprocess.run(
        ["sh", "-euc", script, "sh", str(ROOT)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "UNITS": str(tmp_path), "NEXT_UNITS": str(tmp_path)},
        check=True,
    )
    return tmp_path


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=units,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def systemd_version() -> int:
    said = subprocess.check_output(["systemd-analyze", "--version"], text=True)
    return int(said.split()[1])


@needs_systemd
def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    units = ["proj.target", "proj-web.socket", "proj-backup.timer", *ONE_SHOT, *ROLES, *NEXT]
    done = analyze(installed, "verify", "--man=no", *(f"./{unit}" for unit in units))
    said = done.stdout + done.stderr
    lines = [
        line
        for line in said.splitlines()
        # What the machine itself has installed is not ours to judge.
        if "proj" in line
        and not (systemd_version() < 254 and any(f"'{key}'" in line for key in SINCE_254))
    ]
    assert lines == []
    assert done.returncode == 0, said


@needs_systemd
@pytest.mark.parametrize("unit", [*ROLES, *ONE_SHOT, *NEXT])
def test_a_role_is_closed_to_all_that_it_does_not_need(installed: Path, unit: str) -> None:
    done = analyze(
        installed, "security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", f"./{unit}"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def settings(name: str) -> dict[str, list[str]]:
    """Return what systemd reads for a unit, in its order: drop-ins after the unit's own file."""
    found: dict[str, list[str]] = {}
    for path in (UNITS / name, UNITS / "proj-.service.d" / "common.conf"):
        for line in path.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("role", ["web", "worker@", "beat"])
def test_a_role_runs_the_entrypoint_with_the_shared_settings_and_comes_back(role: str) -> None:
    unit = settings(f"proj-{role}.service")
    words = unit["ExecStart"][0].split()
    assert words[:2] == ["/opt/proj/docker/entrypoint.sh", role.rstrip("@")]
    assert unit["EnvironmentFile"] == [
        "/opt/proj/k8s/base/app.env",
        "-/etc/proj/env",
        "-/etc/proj/%N.env",
    ]
    assert (unit["Restart"], unit["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert unit["KillMode"] == ["mixed"]
    assert unit["MemoryMax"]
    assert unit["TasksMax"]


def test_no_secret_is_an_environment_variable() -> None:
    unit = settings("proj-web.service")
    for name in ("SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL"):
        lower = name.lower()
        assert f"{lower}:/etc/proj/credentials/{lower}" in unit["LoadCredential"]
        assert f"{name}_FILE=%d/{lower}" in unit["Environment"]
        assert not any(value.startswith(f"{name}=") for value in unit["Environment"])


def test_limits_and_grace_periods_are_those_of_compose() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    for role, name in (("web", "web"), ("worker", "worker@"), ("beat", "beat")):
        block = re.search(rf"(?m)^  {role}:\n((?:    .*\n|\n)+)", compose)
        assert block
        memory = re.search(r"mem_limit: (\d+)m", block[1])
        grace = re.search(r"stop_grace_period: (?:\$\{\w+:-)?(\d+)\}?s", block[1])
        assert memory
        assert grace
        unit = settings(f"proj-{name}.service")
        assert unit["MemoryMax"] == [f"{memory[1]}M"]
        assert unit["TimeoutStopSec"] == [grace[1]]
        told = f"TERMINATION_GRACE_PERIOD={grace[1]}"
        assert (told in unit["Environment"]) == (role == "worker")


def test_the_template_has_the_common_settings_too() -> None:
    # For proj-worker@.service systemd looks into proj-@.service.d, and not into proj-.service.d.
    assert (UNITS / "proj-@.service.d").resolve() == (UNITS / "proj-.service.d").resolve()


@pytest.mark.parametrize("role", ["web", "worker@", "beat", "migrate"])
def test_what_starts_beside_a_release_has_its_settings_and_nothing_of_its_place(
    installed: Path, role: str
) -> None:
    unit = (installed / f"next-proj-{role}.service").read_text()
    common = (installed / f"next-proj-{role}.service.d" / "common.conf").read_text()
    name = "worker@%i" if role == "worker@" else role
    assert f"EnvironmentFile=-/etc/proj/proj-{name}.env\n" in common
    assert f"WorkingDirectory={ROOT}\n" in common
    for word in ("Requires=", "Restart=", "PartOf=", "127.0.0.1:8000"):
        assert word not in unit + common
    assert ("--hostname=next-%i@" in unit) == (role == "worker@")
