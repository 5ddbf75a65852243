"""Fills the keys that the Secrets of this pod's namespace lack, by the API server, and ends.

Nothing but the standard library: one GET and at most one PATCH a Secret. The patch names the
version that was read (``metadata.resourceVersion``), so a key that somebody else wrote meanwhile is
never overwritten: the server refuses (409), and the next round reads it. The right it needs is
`get` and `patch` on these three names.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keda_addresses

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: Those from which another one is put together come first.
NAMES = ("postgres", "redis", "app")
PAUSE = 1.0  # seconds between two tries

#: Returns what a Secret lacks: its name, all Secrets that are known so far.
Missing = Callable[[str, Mapping[str, Mapping[str, str]]], dict[str, str]]


def namespace(account: Path = ACCOUNT) -> str:
    """Return the namespace of this pod, or nothing outside of one."""
    path = account / "namespace"
    return path.read_text("utf-8").strip() if path.is_file() else ""


class RefusedError(Exception):
    """The API server said no; the text says what and to what."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """The API server's Secrets in one namespace, with the token of the pod's ServiceAccount.

    :param address: host and port.
    :param account: the folder with `token`, `ca.crt` and `namespace`.
    """

    def __init__(self, address: tuple[str, int], account: Path = ACCOUNT) -> None:
        self.address = address
        self.account = account
        self.namespace = namespace(account)

    def get(self, name: str) -> dict[str, Any]:
        """Return the Secret *name*."""
        return self._call("GET", name, None)

    def patch(self, name: str, body: dict[str, Any]) -> None:
        """Merge *body* into the Secret *name*."""
        self._call("PATCH", name, body)

    def _call(self, method: str, name: str, body: dict[str, Any] | None) -> dict[str, Any]:
        # Read each time: the kubelet renews both.
        token = (self.account / "token").read_text("utf-8").strip()
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        connection = http.client.HTTPSConnection(*self.address, timeout=10, context=context)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/merge-patch+json",
        }
        try:
            connection.request(
                method,
                f"/api/v1/namespaces/{self.namespace}/secrets/{name}",
                None if body is None else json.dumps(body),
                headers,
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            said = json.loads(text).get("message", "") if text.startswith(b"{") else ""
            raise RefusedError(answer.status, f"{method} secret {name}: {answer.status} {said}")
        found: dict[str, Any] = json.loads(text)
        return found


def fill(api: Api, missing: Missing, names: Iterable[str] = NAMES) -> list[str]:
    """Give each Secret the keys that it lacks; return them as ``name/key``.

    :raises RefusedError: the server said no, other than to a Secret that changed meanwhile.
    """
    written = []
    present: dict[str, dict[str, str]] = {}
    for name in names:
        while True:
            secret = api.get(name)
            data: dict[str, str] = secret.get("data") or {}
            present[name] = {key: base64.b64decode(text).decode() for key, text in data.items()}
            lacking = missing(name, present)
            if name == "app":
                known = {**present[name], **lacking}
                lacking |= keda_addresses.changed(known, api.namespace)
            if not lacking:
                break
            encoded = {
                key: base64.b64encode(text.encode()).decode() for key, text in lacking.items()
            }
            version = secret["metadata"]["resourceVersion"]
            try:
                api.patch(name, {"metadata": {"resourceVersion": version}, "data": encoded})
            except RefusedError as refusal:
                if refusal.status != 409:
                    raise
                continue
            written += [f"{name}/{key}" for key in lacking]
            present[name] |= lacking
            break
    return written


def until_filled(missing: Missing, names: Iterable[str] = NAMES) -> str | int:
    """Fill what is missing; try again until the API server lets it, and say why it does not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 has no default for it
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not host or not port.isdecimal():
        return "generate-secrets: --kubernetes works in a pod only: no KUBERNETES_SERVICE_HOST"
    api = Api((host, int(port)))
    last = ""
    while True:
        try:
            written = fill(api, missing, names)
        except (RefusedError, OSError, ValueError, http.client.HTTPException) as error:
            if str(error) != last:
                print(f"generate-secrets: {error}", flush=True)
            last = str(error)
            time.sleep(PAUSE)
            continue
        print(f"secrets are in place; written now: {', '.join(written) or 'none'}", flush=True)
        return 0
