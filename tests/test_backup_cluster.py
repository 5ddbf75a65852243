"""deploy/k8s/backup without a cluster: what it tells kubectl when it is ended in its middle."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from .containers import ROOT, clean_env, wait_until

#: A cluster with one Deployment of two pods, in which no restore comes to its end.
KUBECTL = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
*"get deployment --selector"*) echo deployment.apps/web ;;
*spec.replicas* | *annotations.proj*) echo 2 ;;
*"get job backup-check"*) echo Complete ;;
esac
"""

NO_NAMESPACE = """#!/bin/sh
case "$*" in *readyz*) exit 0 ;; esac
echo 'Error from server (NotFound): namespaces not found' >&2
exit 1
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("namespace: shop", "there is no namespace shop in the cluster"),
        ('namespace: "shop"  # ours', "there is no namespace shop in the cluster"),
        ("resources: []", "expected a line `namespace: NAME`"),
    ],
)
def test_the_overlay_names_the_namespace(tmp_path: Path, line: str, said: str) -> None:
    script, overlay = tmp_path / "k8s" / "backup", tmp_path / "overlays" / "one"
    for folder in (script.parent, overlay):
        folder.mkdir(parents=True)
    script.write_bytes((ROOT / "deploy" / "k8s" / "backup").read_bytes())
    (overlay / "kustomization.yaml").write_text(f"{line}\n")
    (tmp_path / "kubectl").write_text(NO_NAMESPACE)
    (tmp_path / "kubectl").chmod(0o755)
    done = subprocess.run(
        ["sh", script, "dump"],
        env=clean_env(PATH=f"{tmp_path}:{os.environ['PATH']}", ENV="one"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["ended", "no terminal"])
def test_the_roles_start_again_whatever_ends_a_restore(tmp_path: Path, number: int) -> None:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    (log := tmp_path / "log").touch()
    # A shell can't trap what was ignored when it began, as below nohup.
    restore = subprocess.Popen(
        ["env", "--default-signal=HUP", ROOT / "deploy/k8s/backup", "restore", "x.dump"],
        env=clean_env(PATH=f"{tmp_path}:{os.environ['PATH']}", LOG=str(log), ENV="prod"),
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: "get job backup-restore" in log.read_text(), "it waits for the restore")
        os.killpg(restore.pid, number)
        assert restore.wait(60)
    finally:
        if restore.poll() is None:
            os.killpg(restore.pid, signal.SIGKILL)
    assert "scale --replicas=2 deployment.apps/web" in log.read_text()
