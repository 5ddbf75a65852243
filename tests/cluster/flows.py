"""Small pods that listen and connect: which flows the cluster lets through."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..chaos.files import ROOT
from .kubectl import Kubectl, Object

#: In the pods; every cluster that built the product has it.
IMAGE = "python:3.13-slim"
#: Seconds until a connection counts as refused: what a policy blocks is dropped without a word.
PATIENCE = 6.0

LISTEN = """
import socketserver, sys, threading
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"hello")
for port in sys.argv[1:]:
    server = Server(("0.0.0.0", int(port)), Hello)
    threading.Thread(target=server.serve_forever).start()
"""

CONNECT = """
import concurrent.futures, json, socket, sys
def passes(target):
    host, port = target
    try:
        socket.create_connection((host, port), timeout=float(sys.argv[1])).close()
    except OSError:
        return False
    return True
targets = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(list(pool.map(passes, targets))))
"""

KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
components: [{components}]
"""


class Target(NamedTuple):
    """Where a connection goes."""

    host: str
    port: int


def namespace(name: str) -> Object:
    """Return a namespace that enforces what the product's enforce."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(name: str, component: str, ports: Iterable[int]) -> Object:
    """Return a pod that listens on *ports*, labeled as the product's *component* if it is one."""
    labels = {"app.kubernetes.io/component": component} if component else {}
    container = {
        "name": "probe",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", LISTEN, *map(str, ports)],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": {
            "requests": {"cpu": "1m", "memory": "16Mi"},
            "limits": {"memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "proj", **labels}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
                # So that 443 can be listened on.
                "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
            },
            "containers": [container],
        },
    }


def create(kubectl: Kubectl, *objects: Object) -> None:
    """Create or change *objects*."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--filename=-", input=json.dumps(listed))


def apply_components(kubectl: Kubectl, *names: str, patch: str = "") -> None:
    """Apply components of the product and nothing else, in the namespace of *kubectl*.

    :param patch: more of the kustomization.
    """
    # Below the tree: kustomize takes no absolute paths.
    with tempfile.TemporaryDirectory(dir=ROOT / "deploy" / "overlays", prefix=".test-") as folder:
        listed = ", ".join(f"../../../k8s/components/{name}" for name in names)
        text = KUSTOMIZATION.format(namespace=kubectl.namespace, components=listed) + patch
        (Path(folder) / "kustomization.yaml").write_text(text, "utf-8")
        kubectl("apply", f"--kustomize={folder}")


def passing(kubectl: Kubectl, source: str, targets: list[Target]) -> set[Target]:
    """Return those of *targets* that the pod *source* can connect to; all are tried at once."""
    said = ""
    while not said:  # at times it ends well and without a word (kubernetes/kubernetes#73056)
        said = kubectl(
            "exec", "--stdin", source, "--", "python", "-c", CONNECT, str(PATIENCE),
            input=json.dumps(targets),
        )  # fmt: skip
    return {target for target, passed in zip(targets, json.loads(said), strict=True) if passed}
