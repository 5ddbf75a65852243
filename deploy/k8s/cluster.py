"""The namespace of an overlay, its Secrets and its pods, by kubectl.

A secret's text goes through standard input alone: never into an argument, where every user of the
machine could read it, and never onto the screen.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
OVERLAYS = ROOT / "deploy" / "overlays"
#: The pods that read the Secret `app`, when they start.
READERS = "app.kubernetes.io/name=proj,app.kubernetes.io/component in (web,worker,beat,archive)"


class ClusterError(SystemExit):
    """Something can't be done; the process ends with this one line."""


def namespace_of(env: str) -> str:
    """Return the namespace of the overlay *env*.

    :raises ClusterError: there is no such overlay, or it names none.
    """
    path = OVERLAYS / env / "kustomization.yaml"
    if not re.fullmatch(r"[\w.-]+", env) or not path.is_file():
        there = ", ".join(sorted(p.parent.name for p in OVERLAYS.glob("*/kustomization.yaml")))
        raise ClusterError(f"ENV='{env}': there is no deploy/overlays/{env}; there is: {there}")
    found = re.search(r"^namespace:[ \"']*([\w.-]+)", path.read_text("utf-8"), re.MULTILINE)
    if not found:
        raise ClusterError(f"{path}: expected a line `namespace: NAME`")
    return found[1]


class Cluster:
    """The namespace of one overlay.

    :param env: the overlay's name.
    :raises ClusterError: there is no such overlay, or it names no namespace.
    """

    def __init__(self, env: str) -> None:
        self.env = env
        self.namespace = namespace_of(env)
        self.folder = OVERLAYS / env
        if not shutil.which("kubectl"):
            raise ClusterError("kubectl is not installed, or not on the PATH")

    def settings(self) -> dict[str, str]:
        """Return what is no secret: of all deployments, of this one's components, its own."""
        overlay = (self.folder / "kustomization.yaml").read_text("utf-8")
        components = re.findall(r"^ *- [./]*/(k8s/components/[\w-]+)", overlay, re.MULTILINE)
        files = [ROOT / "k8s" / "base" / "app.env"]
        files += [path for each in components for path in sorted((ROOT / each).glob("*.env"))]
        files.append(self.folder / "app.env")
        lines = [line for file in files if file.is_file() for line in file.open(encoding="utf-8")]
        pairs = (line.strip().partition("=") for line in lines if not line.startswith("#"))
        return {name: value for name, equals, value in pairs if equals}

    def kubectl(
        self,
        *arguments: str,
        stdin: str = "",
        missing_ok: bool = False,
        timeout: float | None = None,
    ) -> str:
        """Run kubectl in the namespace and return what it wrote.

        :param missing_ok: an object that is not there gives an empty answer.
        :param timeout: seconds.
        :raises ClusterError: it failed, and its own words say why, or it took too long.
        """
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(f"no answer within {timeout:g} s: {' '.join(command)}") from None
        if done.returncode == 0:
            return done.stdout
        if missing_ok and "NotFound" in done.stderr:
            return ""
        raise ClusterError(f"kubectl {' '.join(arguments[:3])}: {own_words(done.stderr)}")

    def need(self) -> None:
        """Raise unless the cluster answers.

        :raises ClusterError: it doesn't, or kubectl knows none.
        """
        try:
            self.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
        except ClusterError as error:
            raise ClusterError(
                "no cluster answers; `kubectl config current-context` says which is meant "
                f"({error})"
            ) from error

    def read(self, name: str) -> tuple[dict[str, str], dict[str, Any] | None]:
        """Return the texts of the Secret *name* and its metadata, or nothing and ``None``."""
        text = self.kubectl("get", "secret", name, "--output=json", missing_ok=True)
        if not text:
            return {}, None
        secret = json.loads(text)
        texts = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        return texts, secret["metadata"]

    def write(self, name: str, texts: dict[str, str], metadata: dict[str, Any] | None) -> None:
        """Put *texts* into the Secret *name*, whose other keys stay.

        :param metadata: what was read; ``None`` makes a new Secret.
        :raises ClusterError: it was changed meanwhile, or made.
        """
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        if metadata is None:
            labels = {f"app.kubernetes.io/{key}": "proj" for key in ("name", "part-of")}
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "labels": labels},
                "data": data,
            }
            self.kubectl("create", "--filename=-", stdin=json.dumps(secret))
            return
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "data": data}
        arguments = ("patch", "secret", name, "--type=merge", "--patch-file=/dev/stdin")
        self.kubectl(*arguments, stdin=json.dumps(patch))

    def restart_readers(self) -> None:
        """Start the pods that read secrets anew, without a gap, and wait until all are ready."""
        kinds = "deployments,statefulsets"
        found = self.kubectl("get", kinds, f"--selector={READERS}", "--output=name").split()
        for name in found:
            self.kubectl("rollout", "restart", name)
        for name in found:
            say(f"waiting for {name}")
            self.kubectl("rollout", "status", name, "--timeout=15m")


def own_words(stderr: str) -> str:
    """Return what kubectl says to a person, without what its library logs of each try before."""
    return re.sub(r"^[EWI]\d{4} .*\n?", "", stderr, flags=re.MULTILINE).strip() or stderr.strip()


def generator() -> ModuleType:
    """Return docker/generate-secrets, which knows what is generated and how."""
    return _script("generate-secrets")


def keda_addresses() -> ModuleType:
    """Return docker/keda_addresses.py, which knows what KEDA reads and from what it follows."""
    return _script("keda_addresses.py")


def _script(name: str) -> ModuleType:
    loader = SourceFileLoader(name.partition(".")[0].replace("-", "_"), str(ROOT / "docker" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec  # noqa: S101 - a loader was given
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def say(line: str) -> None:
    """Write a line at once."""
    print(line, flush=True)
