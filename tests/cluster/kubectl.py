"""kubectl, in one namespace of one cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..chaos.engine import clean_env, run, wait_until

Object = dict[str, Any]


class Kubectl:
    """Runs kubectl with a kubeconfig and a namespace; what it says is an error's text."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    @property
    def env(self) -> dict[str, str]:
        """The environment for kubectl and for scripts that call it."""
        return clean_env(KUBECONFIG=self.kubeconfig)

    def __call__(
        self, *arguments: str, check: bool = True, timeout: float = 300, **options: Any
    ) -> str:
        """Run ``kubectl`` with *arguments*; return what it prints.

        :param timeout: seconds.
        :raises ChaosError: it failed and *check* is set, or it took too long.
        """
        command = ("kubectl", f"--namespace={self.namespace}", *arguments)
        return run(*command, check=check, timeout=timeout, env=self.env, **options).stdout

    def status(self, *arguments: str, timeout: float = 300, **options: Any) -> tuple[int, str]:
        """Run ``kubectl`` with *arguments*; return its status, and all that it said."""
        command = ("kubectl", f"--namespace={self.namespace}", *arguments)
        done = run(*command, check=False, timeout=timeout, env=self.env, **options)
        return done.returncode, done.stdout + done.stderr

    def get(self, kind: str, *arguments: str) -> list[Object]:
        """Return the objects of a kind, or of several: ``deployments,statefulsets``."""
        found = json.loads(self("get", kind, "--output=json", *arguments))
        items: list[Object] = found["items"] if found["kind"].endswith("List") else [found]
        return items

    def one(self, kind: str, name: str) -> Object:
        """Return one object.

        :raises ChaosError: there is none.
        """
        (found,) = self.get(kind, name)
        return found

    def pods(self, component: str = "", **labels: str) -> list[Object]:
        """Return the pods of a component that are not on their way out, oldest first."""
        if component:
            labels["app.kubernetes.io/component"] = component
        chosen = ",".join(f"{name}={value}" for name, value in labels.items())
        found = self.get("pods", f"--selector={chosen}", "--sort-by=.metadata.creationTimestamp")
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
        """Return the first true value of *condition*; each look starts a kubectl, so not often."""
        return wait_until(condition, what, seconds, pause=0.5)


def name(thing: Object) -> str:
    """Return the name of an object."""
    return str(thing["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Return whether a pod gets requests."""
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def restarts(pod: Object) -> int:
    """Return how often containers of a pod were started again.

    Not of one that its node could not start: nothing of it ran (runc: "unable to freeze").
    """
    return sum(
        c["restartCount"]
        for c in pod["status"].get("containerStatuses", ())
        if c.get("lastState", {}).get("terminated", {}).get("reason") != "StartError"
    )
