"""k8s/components/tls: the parts of a pod fit each other, and what the generator makes is good."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s.cluster import generator

from .manifests import Object, objects, one
from .tree import ROOT

SERVERS = ("postgres", "redis")
IN_TLS: dict[str, Any] = {"stores_tls": "true", "namespace": "proj-prod"}


def made(known: dict[str, dict[str, str]] | None = None, **how: Any) -> dict[str, dict[str, str]]:
    """Return the Secrets after the generator was there, with *known* before."""
    found = known or {}
    for name in (*SERVERS, "app"):
        found[name] = dict(found.get(name, {}))
        found[name] |= generator().missing(name, found, **how)
    return found


@pytest.fixture(scope="module")
def secrets() -> dict[str, dict[str, str]]:
    return made(**IN_TLS)


@pytest.mark.parametrize("server", SERVERS)
def test_a_servers_certificate_is_good_for_its_names_and_to_who_knows_its_authority(
    secrets: dict[str, dict[str, str]], server: str, tmp_path: Path
) -> None:
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text(secrets[server][name])
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    other = next(each for each in SERVERS if each != server)

    def shake_hands(name: str, authority: str) -> None:
        asking = ssl.create_default_context(cadata=authority)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = asking.wrap_bio(back, there, server_hostname=name)
        host = serving.wrap_bio(there, back, server_side=True)
        for _ in range(3):
            for side in (client, host):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    known = secrets["app"]["ca.crt"]
    for name in (server, f"{server}.proj-prod.svc"):
        shake_hands(name, known)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        shake_hands(other, known)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
        shake_hands(server, secrets[other]["ca.crt"])


def test_what_is_there_stays_and_the_urls_follow_when_tls_comes_and_goes(
    secrets: dict[str, dict[str, str]],
) -> None:
    missing = generator().missing
    assert not any(missing(name, secrets, **IN_TLS) for name in (*SERVERS, "app"))
    plain = made()
    mine = {**plain, "app": {**plain["app"], "backup_database_url": "postgresql://me@db.example/x"}}
    after = made(mine, **IN_TLS)["app"]
    assert after["database_url"].endswith(
        "?sslmode=verify-full&sslrootcert=/run/secrets/stores/ca.crt"
    )
    assert after["celery_broker_url"].startswith("rediss://proj:")
    assert after["backup_database_url"] == "postgresql://me@db.example/x"
    assert made(mine)["app"]["database_url"] == plain["app"]["database_url"]


def test_cert_manager_makes_certificates_and_the_urls_check_them() -> None:
    found = made(stores_tls="cert-manager")
    assert "ca.crt" not in {key for texts in found.values() for key in texts}
    assert "sslmode=verify-full" in found["app"]["database_url"]


def test_each_role_of_an_operator_has_the_password_that_is_in_its_url() -> None:
    script = generator()
    found = made()
    names = script.secret_names({"ROLE_SECRETS": "true"})
    assert names[-1] == "app"
    for name in script.ROLE_SECRETS:
        found[name] = {}
        found[name] |= script.missing(name, found)
        user, password = found[name]["username"], found[name]["password"]
        assert any(f"//{user}:{password}@postgres:" in url for url in found["app"].values())
        assert script.missing(name, found) == {}


def mounted(pod: Object, path: str) -> list[tuple[str, str]]:
    """Return who mounts a Secret at *path*, and which."""
    volumes = {each["name"]: each.get("secret", {}) for each in pod["volumes"]}
    return [
        (container["name"], volumes[mount["name"]]["secretName"])
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        for mount in container.get("volumeMounts", ())
        if mount["mountPath"] == path
    ]


@pytest.mark.parametrize(
    ("combination", "authority", "certificate"),
    [("prod+all", "app", "{}"), ("s3", "postgres-tls", "{}-tls")],
)
def test_every_pod_that_asks_a_store_has_its_authority(
    rendered: dict[str, Path], combination: str, authority: str, certificate: str
) -> None:
    found = objects(rendered[combination])
    asking = {
        "web": {"schema", "app"}, "worker-default": {"schema", "app"}, "beat": {"schema", "app"},
        "archive": {"archive"}, "backup": {"backup", "dump"} if combination == "s3" else {"backup"},
    }  # fmt: skip
    for thing in found:
        name = thing["metadata"]["name"]
        if thing["kind"] in {"Deployment", "StatefulSet", "CronJob"} and name in asking:
            spec = thing["spec"]
            spec = spec["jobTemplate"]["spec"] if thing["kind"] == "CronJob" else spec
            pod = spec["template"]["spec"]
            assert mounted(pod, generator().FOLDER_IN_A_POD) == [
                (container, authority)
                for container in [
                    c["name"] for c in (*pod.get("initContainers", ()), *pod["containers"])
                ]
                if container in asking[name]
            ]
    for server in SERVERS:
        pod = one(found, "StatefulSet", server)["spec"]["template"]["spec"]
        assert mounted(pod, "/run/secrets/tls") == [(server, certificate.format(server))]


def test_postgresql_takes_none_by_tcp_without_tls(
    rendered: dict[str, Path], tmp_path: Path
) -> None:
    pod = one(objects(rendered["prod+all"]), "StatefulSet", "postgres")["spec"]["template"]["spec"]
    script = pod["containers"][0]["command"][-2]
    (filter_,) = (line.strip() for line in script.splitlines() if line.strip().startswith("sed "))
    theirs, ours = re.findall(r"/\S+pg_hba\.conf", filter_)
    assert f"hba_file={ours}" in script.partition('"$@"')[2], "after what the container's args say"
    mine = tmp_path / "pg_hba.conf"
    filter_ = filter_.replace(theirs, str(ROOT / "deploy/postgres/pg_hba.conf"))
    subprocess.run(["sh", "-c", filter_.replace(ours, str(mine))], check=True)
    kinds = {line.split()[0] for line in mine.read_text("utf-8").splitlines() if line[:1] != "#"}
    assert kinds == {"local", "hostssl"}
