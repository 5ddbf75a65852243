"""Commands of the container engine, with everything that they said if they fail."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

#: What the engine's and the shell's own programs need; no setting of the project may leak in.
KEPT = {"PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"}


class ChaosError(Exception):
    """The suite can't go on: the stack is not what it must be, or the engine refused."""


def clean_env(**more: str) -> dict[str, str]:
    """Return an environment without the project's settings, and with *more*."""
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("DOCKER_")}
    return {**kept, **more}


def run(
    *command: str,
    check: bool = True,
    timeout: float = 300,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run *command*.

    :param timeout: seconds.
    :raises ChaosError: it failed and *check* is set, or it took longer than *timeout*.
    """
    words = " ".join(command)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False,
            env=env or clean_env(), **options,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise ChaosError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ChaosError(f"`{words}` took longer than {timeout:.0f} s") from error
    if check and done.returncode:
        raise ChaosError(f"`{words}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def inspect(*ids: str) -> list[dict[str, Any]]:
    """Return what the engine knows about containers."""
    found: list[dict[str, Any]] = json.loads(run("docker", "inspect", *ids).stdout) if ids else []
    return found


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = 120, pause: float = 0.3
) -> Any:
    """Return the first true value of *condition*; it may fail meanwhile.

    :raises ChaosError: it did not become true within *seconds*; *what* names it.
    """
    end = time.monotonic() + seconds
    last: Exception | None = None
    late = False
    while not late:
        late = time.monotonic() > end  # before it is asked: this process may have stood still
        try:
            if value := condition():
                return value
        except ChaosError as error:
            last = error
        time.sleep(pause)
    raise ChaosError(f"not within {seconds:.0f} s: {what}") from last
