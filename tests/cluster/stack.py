"""The stack on a cluster: deploy/overlays/prod in a namespace of its own."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..chaos.engine import ChaosError, run
from . import nodes
from .kubectl import Kubectl, Object, is_ready, name
from .overlay import Overlay

#: Seconds until everything must be ready, images being there.
READY = 300.0
#: Phases of a pod that nothing starts again.
ENDED = {"Succeeded", "Failed"}


class Stack:
    """The stack, up between ``with`` and its end, and gone with its data afterwards."""

    def __init__(
        self, kubeconfig: str, images: tuple[str, str], components: Sequence[str] = ()
    ) -> None:
        """:param images: two versions of the product with the probe, which the nodes have."""
        self.baseline = False
        # As an ingress that ends TLS sends them.
        self.headers: Mapping[str, str] = {"Host": "localhost", "X-Forwarded-Proto": "https"}
        self.images = images
        self.kubectl = Kubectl(kubeconfig, f"proj-test-{secrets.token_hex(4)}")
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.kubectl.namespace}-"))
        self.overlay = Overlay(
            self.folder / "proj", self.kubectl.namespace, components, ALLOWED_HOSTS="localhost"
        )
        self.host = nodes.address(self.kubectl)
        self.port = 0
        #: Seconds from ``kubectl apply`` until everything was ready, the first time.
        self.seconds = 0.0

    def __enter__(self) -> Stack:
        try:
            started = time.monotonic()
            self.overlay.write(self.images[0])
            self.apply()
            (port,) = self.kubectl.one("service", "web")["spec"]["ports"]
            self.port = int(port["nodePort"])
            self.wait_healthy(READY)
            self.seconds = time.monotonic() - started
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete the namespace, with the data, and the overlay; wait until its pods are gone.

        Not until the namespace is: that is held up while any API of the cluster doesn't answer,
        such as KEDA's for metrics on a busy machine. The next stack's room is free before.
        """
        space = self.kubectl.namespace
        self.kubectl("delete", "namespace", space, "--ignore-not-found", "--wait=false")
        self.kubectl.wait(lambda: not self.kubectl.get("pods"), "no pod is left", 240)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- Deploying -------------------------------------------------------------------------------

    def apply(self) -> str:
        """Apply the overlay as it is written; return what kubectl says."""
        return self.kubectl("apply", f"--kustomize={self.overlay.path}")

    def deploy(self, image: str, env: Mapping[str, str] | None = None) -> None:
        """Apply another version, and wait until its roll-out is complete."""
        self.overlay.write(image, env)
        self.apply()
        self.rolled_out()

    def restart(self) -> None:
        """Replace every pod of the deployments, and wait until that is complete."""
        self.kubectl("rollout", "restart", "deployment")
        self.rolled_out()

    def rolled_out(self) -> None:
        """Wait until the roll-out of every deployment is complete."""
        for deployment in self.deployments():
            self.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=300s")

    def mend(self) -> None:
        """Bring everything back, whatever an event left behind."""
        for node in nodes.workers(self.kubectl):
            nodes.start(self.kubectl, node)
            self.kubectl("uncordon", node)
        self.deploy(self.images[0])
        self.wait_healthy()

    def diff(self) -> str:
        """Return what another apply would change."""
        return self.kubectl.status("diff", f"--kustomize={self.overlay.path}")[1]

    def deployments(self) -> list[str]:
        """Return the names of the deployments."""
        return [name(each) for each in self.kubectl.get("deployments")]

    # --- Health ----------------------------------------------------------------------------------

    def not_healthy(self) -> list[str]:
        """Return what does not run as its workload says, or is not ready."""
        found: list[str] = []
        objects = self.kubectl.get("deployments,statefulsets,pods")
        pods = [each for each in objects if each["kind"] == "Pod"]
        for workload in objects:
            if workload["kind"] == "Pod":
                continue
            title = f"{workload['kind'].lower()}/{name(workload)}"
            wanted = workload["spec"].get("replicas", 1)
            own = [pod for pod in pods if belongs(pod, workload)]
            ready = sum(map(is_ready, own))
            if ready != wanted or len(own) != wanted:
                found.append(f"{title}: {ready} ready of {len(own)} pods, wanted {wanted}")
            elif not is_current(workload, wanted):
                found.append(f"{title}: not all of the new version")
        return found

    def wait_healthy(self, seconds: float = 240) -> None:
        """Wait until every workload has all of its pods ready, and web serves.

        :raises ChaosError: something isn't, with what the cluster says about it.
        """
        try:
            self.kubectl.wait(
                lambda: not self.not_healthy() and self.is_ready(), "everything is ready", seconds
            )
        except ChaosError as error:
            raise ChaosError(f"{error}: {', '.join(self.not_healthy())}\n{self.told()}") from error

    def told(self) -> str:
        """Return what the cluster says about the pods."""
        pods = self.kubectl("get", "pods", "--output=wide", check=False)
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)
        return pods + "\n".join(events.splitlines()[-15:])

    def is_ready(self) -> bool:
        """Return whether web serves through its Service, and reaches what it needs."""
        url = f"http://{self.host}:{self.port}/readyz"
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, headers=dict(self.headers)), timeout=5
            ) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    # --- Stores ----------------------------------------------------------------------------------

    def sql(self, query: str, timeout: float = 20) -> list[list[str]]:
        """Return the rows of a query, as text; it goes through PostgreSQL's own socket."""
        out = self.kubectl(
            "exec", "postgres-0", "--",
            "psql", "--username=postgres", "--dbname=proj", "--no-psqlrc", "--tuples-only",
            "--no-align", "--field-separator=\t", "--set=ON_ERROR_STOP=1", "--command", query,
            timeout=timeout,
        )  # fmt: skip
        return [line.split("\t") for line in out.splitlines() if line]

    def redis(self, *command: str, timeout: float = 20) -> str:
        """Run a command of Redis; return its reply as redis-cli shows it without a terminal."""
        # By the socket, where TCP means TLS.
        script = (
            '[ ! -S /tmp/redis.sock ] || set -- -s /tmp/redis.sock "$@"; '
            'REDISCLI_AUTH=$(cat /run/secrets/proj/password) exec redis-cli --user admin -e "$@"'
        )
        return self.kubectl(
            "exec", "redis-0", "--",
            "sh", "-c", script, "redis-cli", *command, timeout=timeout,
        ).strip()  # fmt: skip

    def manage(self, code: str) -> str:
        """Run Python *code* in a web pod with Django set up; return what it prints."""
        return self.kubectl(
            "exec", "deployment/web", "--",
            "python", "manage.py", "shell", "--no-imports", "-c", code,
        ).strip()  # fmt: skip

    def run(self, *command: str, timeout: float = 300) -> str:
        """Run a script of the project on the copy that the stack is made from."""
        return run(*command, timeout=timeout, env=self.kubectl.env, cwd=self.overlay.folder).stdout

    def facts(self) -> dict[str, str]:
        """Return the versions of what the stack runs on."""
        version = self.kubectl.get("nodes")[0]["status"]["nodeInfo"]
        redis = self.redis("INFO", "server").partition("redis_version:")[2].split()[0]
        postgres = self.sql("SHOW server_version")[0][0].split()[0]
        names = f"{len(nodes.all_nodes(self.kubectl))} nodes"
        return {
            "Kubernetes": f"{version['kubeletVersion'].lstrip('v')} ({names})",
            "PostgreSQL": postgres,
            "Redis": redis,
        }


def belongs(pod: Object, workload: Object) -> bool:
    """Return whether *pod* counts for *workload*: its labels match, and it is here to stay."""
    labels = pod["metadata"].get("labels", {})
    wanted: dict[str, str] = workload["spec"]["selector"]["matchLabels"]
    ended = pod["metadata"].get("deletionTimestamp") or pod["status"]["phase"] in ENDED
    return wanted.items() <= labels.items() and not ended


def is_current(workload: Object, wanted: int) -> bool:
    """Return whether a workload's controller has seen its last change, and made it everywhere."""
    status = workload["status"]
    return bool(
        status.get("observedGeneration") == workload["metadata"]["generation"]
        and (not wanted or status.get("updatedReplicas") == wanted)
    )
