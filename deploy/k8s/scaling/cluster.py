"""kubectl, in the namespace of one overlay."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

OVERLAYS = Path(__file__).resolve().parents[2] / "overlays"

Object = dict[str, Any]


class ScalingError(Exception):
    """What a person reads: what is wrong, and what to change."""


def namespace_of(env: str) -> str:
    """Return the namespace of the overlay *env*.

    :raises ScalingError: there is no such overlay.
    """
    path = OVERLAYS / env / "kustomization.yaml"
    if not re.fullmatch(r"[\w.-]+", env) or not path.is_file():
        there = ", ".join(sorted(p.parent.name for p in OVERLAYS.glob("*/kustomization.yaml")))
        raise ScalingError(f"ENV='{env}': there is no deploy/overlays/{env}; there is: {there}")
    found = re.search(r"^namespace:\s*([\w.-]+)", path.read_text("utf-8"), re.MULTILINE)
    if not found:
        raise ScalingError(f"{path}: expected a line `namespace: NAME`")
    return found[1]


class Cluster:
    """Runs kubectl; what it says is the error's text."""

    def __init__(self, env: str) -> None:
        self.env = env
        self.namespace = namespace_of(env)
        if not shutil.which("kubectl"):
            raise ScalingError("kubectl is not installed, or not on the PATH")

    def __call__(self, *arguments: str, timeout: float = 60) -> str:
        """Run kubectl with *arguments* in the namespace; return what it prints.

        :param timeout: seconds.
        :raises ScalingError: it failed, or took too long.
        """
        command = ["kubectl", f"--namespace={self.namespace}", *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ScalingError(f"no answer within {timeout:g} s: {' '.join(command)}") from error
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise ScalingError(f"{' '.join(command)}: {said[-1] if said else 'failed'}")
        return done.stdout

    def get(self, kind: str, *arguments: str) -> list[Object]:
        """Return the objects of *kind*."""
        items: list[Object] = json.loads(self("get", kind, "--output=json", *arguments))["items"]
        return items

    def need(self) -> None:
        """Raise unless the cluster answers."""
        try:
            self("get", "--raw=/readyz", "--request-timeout=10s")
        except ScalingError as error:
            raise ScalingError(
                "no cluster answers; `kubectl config current-context` says which is meant "
                f"({error})"
            ) from error

    def pods(self, pool: str) -> list[Object]:
        """Return the worker pods of *pool* that are not on their way out."""
        chosen = f"--selector=app.kubernetes.io/component=worker,pool={pool}"
        return [p for p in self.get("pods", chosen) if "deletionTimestamp" not in p["metadata"]]


def name(thing: Object) -> str:
    """Return the name of an object."""
    return str(thing["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Tell whether the worker in *pod* consumes: its readiness probe asks for that."""
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
