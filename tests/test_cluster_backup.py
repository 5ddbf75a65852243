"""Backups on a real cluster: the CronJob proves a dump, and says loudly when it can't."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time

import pytest

from .cluster.kubectl import Object
from .cluster.stack import Stack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def by_hand(stack: Stack) -> tuple[Object, str]:
    """Run the CronJob's job now, as a person does; return how it ended, and what it said."""
    name = f"by-hand-{secrets.token_hex(3)}"
    stack.kubectl("create", "job", name, "--from=cronjob/backup")
    end = time.monotonic() + 240
    while time.monotonic() < end:
        status: Object = stack.kubectl.one("job", name)["status"]
        if {"Complete", "Failed"} & {c["type"] for c in status.get("conditions", [])}:
            break
        time.sleep(1)
    return status, stack.kubectl("logs", f"job/{name}", "--all-containers", check=False)


def backup(stack: Stack, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the verb's script in the stack's namespace."""
    return subprocess.run(
        [stack.overlay.folder / "deploy" / "k8s" / "backup", *arguments],
        env={**os.environ, "KUBECONFIG": stack.kubectl.kubeconfig,
             "NAMESPACE": stack.kubectl.namespace, **env},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def test_the_nightly_job_run_by_hand_proves_a_backup(cluster_stack: Stack) -> None:
    status, said = by_hand(cluster_stack)
    assert status.get("succeeded") == 1, said
    assert ": proven, " in said
    newest = (
        "SELECT proven_at IS NOT NULL FROM durable_backups_backup ORDER BY started_at DESC LIMIT 1"
    )
    assert cluster_stack.sql(newest) == [["t"]]


def test_a_restore_brings_back_the_database_of_a_second_and_the_same_replicas(
    cluster_stack: Stack,
) -> None:
    def replicas() -> dict[str, int]:
        found = cluster_stack.kubectl.get("deployments")
        return {one["metadata"]["name"]: one["spec"]["replicas"] for one in found}

    before = replicas()
    archive = ("exec", "archive-0", "--container=archive", "--", "sh", "-c")
    bases = "ls -d /backups/archive/*/base/2*"
    cluster_stack.kubectl.wait(
        lambda: cluster_stack.kubectl(*archive, bases, check=False), "there is a base backup"
    )
    cluster_stack.sql("INSERT INTO durable_backups_backup (file) VALUES ('marker')")
    [[second]] = cluster_stack.sql(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 second', 'YYYY-MM-DD HH24:MI:SS')"
    )
    passed = f"SELECT now() AT TIME ZONE 'UTC' > '{second}'::timestamp + interval '1 second'"
    cluster_stack.kubectl.wait(lambda: cluster_stack.sql(passed) == [["t"]], "the second is over")
    cluster_stack.sql("DELETE FROM durable_backups_backup WHERE file = 'marker'")
    cluster_stack.sql("INSERT INTO durable_backups_moment DEFAULT VALUES")
    done = backup(cluster_stack, "restore", AT=second)
    assert done.returncode == 0, done.stdout + done.stderr
    marked = "SELECT count(*) FROM durable_backups_backup WHERE file = 'marker'"
    assert cluster_stack.sql(marked) == [["1"]]
    assert replicas() == before
    assert cluster_stack.is_ready()


def test_a_damaged_dump_fails_the_drill_loudly_and_is_not_restored(cluster_stack: Stack) -> None:
    assert backup(cluster_stack, "dump").returncode == 0
    name = backup(cluster_stack, "list").stdout.split()[0]
    volume = {"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}}
    job = cluster_stack.kubectl.one("cronjob", "backup")["spec"]["jobTemplate"]["spec"]
    pod = {**job["template"]["spec"]}
    container = {
        **pod["containers"][0],
        "command": ["sh", "-c", f"printf x | dd of=/backups/{name} bs=1 seek=2000 conv=notrunc"],
    }
    assert volume in pod["volumes"]
    spoil = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "spoil", "labels": {"app.kubernetes.io/component": "backup"}},
        "spec": {**pod, "containers": [container]},
    }
    cluster_stack.kubectl("apply", "--filename=-", input=json.dumps(spoil))
    cluster_stack.kubectl(
        "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/spoil", "--timeout=120s"
    )
    drill = backup(cluster_stack, "drill")
    assert drill.returncode == 1
    assert f"{name} is damaged or wrong: its checksum differs" in drill.stdout + drill.stderr
    assert "failed" in drill.stderr
    refused = backup(cluster_stack, "restore", name)
    assert refused.returncode == 1
    assert "nothing was stopped, nothing was changed" in refused.stderr
    cluster_stack.kubectl("delete", "pod", "spoil")
    assert cluster_stack.is_ready()
