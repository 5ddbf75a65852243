"""compose.yaml as Compose understands it: every service is hardened. Needs no engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s.cluster import generator

from .containers import clean_env, need_compose, run

ONE_SHOT = {"secrets", "migrate"}
ROLES = {"web", "worker", "beat", "migrate"}


def config(folder: Path, *layers: str, **env: str) -> dict[str, Any]:
    need_compose()
    files = [word for layer in ("compose.yaml", *layers) for word in ("-f", layer)]
    done = run(
        "docker", "compose", *files, "config", "--format", "json",
        cwd=folder, env=clean_env(**env),
    )  # fmt: skip
    assert done.stderr == ""  # Compose warns of a variable that is not set, at each command
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.fixture(scope="module")
def services(clone: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = config(clone)["services"]
    return found


def seconds(duration: str) -> int:
    minutes, _, rest = duration.rpartition("m")
    return int(minutes or 0) * 60 + int(rest.removesuffix("s"))


def test_the_stack_is_a_proxy_three_roles_two_servers_and_two_steps_that_end(
    services: dict[str, dict[str, Any]],
) -> None:
    roles = {"proxy", "web", "worker", "beat"}
    assert services.keys() == {*roles, "postgres", "redis", *ONE_SHOT}


def test_every_service_is_locked_down(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "container_name", "pid", "ipc"} & service.keys(), name
        # Caddy's program can't be started without the one that it has as a file.
        assert service.get("cap_add") == (["NET_BIND_SERVICE"] if name == "proxy" else None), name


def test_every_service_has_limits_and_its_logs_end_somewhere(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert 0 < int(service["mem_limit"]) <= 1024**3, name
        assert 0 < service["pids_limit"] <= 256, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name


def test_postgresql_may_start_a_process_for_each_connection(
    services: dict[str, dict[str, Any]],
) -> None:
    words = (word.partition("=") for word in services["postgres"]["command"])
    [most] = [int(value) for name, _, value in words if name == "max_connections"]
    # And its own: writers, autovacuum, senders of WAL, parallel queries.
    assert services["postgres"]["pids_limit"] >= most + 50


def test_what_serves_is_restarted_and_probed_and_what_ends_is_neither(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"], name
            assert service["stop_grace_period"], name


def test_a_worker_gets_more_time_to_stop_than_it_takes(services: dict[str, dict[str, Any]]) -> None:
    from django.conf import settings

    soft = settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT
    assert seconds(services["worker"]["stop_grace_period"]) >= soft + 35


def test_a_worker_knows_the_grace_period_that_compose_gives_it(
    services: dict[str, dict[str, Any]], clone: Path, tmp_path: Path
) -> None:
    def both(worker: dict[str, Any]) -> tuple[int, int]:
        return seconds(worker["stop_grace_period"]), int(worker["environment"][name])

    name = "WORKER_GRACE_PERIOD"
    period, told = both(services["worker"])
    assert period == told
    (folder := tmp_path / "proj").mkdir()
    (folder / "compose.yaml").write_text((clone / "compose.yaml").read_text())
    for part in ("k8s", "deploy"):
        (folder / part).symlink_to(clone / part)
    (folder / ".env").write_text(f"{name}=200\n")
    assert both(config(folder)["services"]["worker"]) == (200, 200)


@pytest.mark.parametrize(
    ("name", "server"), [("DATABASE_URL", "postgres"), ("CELERY_BROKER_URL", "redis")]
)
def test_with_a_server_of_ones_own_none_is_started(clone: Path, name: str, server: str) -> None:
    def containers(**env: str) -> dict[str, int]:
        services = config(clone, **env)["services"]
        return {one: services[one]["scale"] for one in ("postgres", "redis")}

    assert containers() == {"postgres": 1, "redis": 1}
    assert containers(**{name: "x://elsewhere"}) == {"postgres": 1, "redis": 1, server: 0}
    # And no Redis where PostgreSQL is all that is needed.
    assert containers(DURABLE_DELAY="true") == {"postgres": 1, "redis": 0}
    both = containers(DURABLE_DELAY="false", **{name: "x://elsewhere"})
    assert both == {"postgres": 1, "redis": 1, server: 0}


def test_the_roles_are_one_image_that_is_built_once(services: dict[str, dict[str, Any]]) -> None:
    ours = {name: s for name, s in services.items() if name in ROLES | {"secrets"}}
    assert {s["image"] for s in ours.values()} == {"proj:local"}
    assert [name for name, s in services.items() if "build" in s] == ["secrets"]
    for name in ROLES:
        assert services[name]["pull_policy"] == "never"
        assert services[name]["command"] == [name]
        assert "entrypoint" not in services[name] or services[name]["entrypoint"] is None


def test_the_roles_share_their_environment(services: dict[str, dict[str, Any]]) -> None:
    own = {"OWNER_DATABASE_URL_FILE", "BACKUP_DATABASE_URL_FILE", "FORCE"}
    assert own <= services["migrate"]["environment"].keys()
    first, *others = [
        {key: text for key, text in services[name]["environment"].items() if key not in own}
        for name in sorted(ROLES)
    ]
    assert all(other == first for other in others)


def test_secrets_of_env_are_in_the_environment_of_one_container_alone(
    clone: Path, tmp_path: Path
) -> None:
    """An environment is shown by `docker inspect`; the others read files."""
    (folder := tmp_path / "proj").mkdir()
    (folder / "compose.yaml").write_text((clone / "compose.yaml").read_text())
    for part in ("k8s", "deploy"):
        (folder / part).symlink_to(clone / part)
    names = [name.upper() for name in generator().APP + generator().STORE]
    (folder / ".env").write_text("".join(f"{name}=told-to-secrets-alone\n" for name in names))
    found = config(folder, COMPOSE_PROFILES="backup,restore")["services"]
    told = {name for name, one in found.items() if "told-to-secrets" in str(one.get("environment"))}
    assert told == {"secrets"}


def test_no_password_stands_in_the_file(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for variable, text in service.get("environment", {}).items():
            if (
                text
                and not text.isdecimal()
                and any(word in variable for word in ("SECRET", "PASSWORD", "URL"))
            ):
                assert variable.endswith("_FILE"), f"{name}: {variable}"


def test_each_sees_its_own_secrets_alone_and_cannot_change_them(
    services: dict[str, dict[str, Any]],
) -> None:
    def mounted(name: str) -> list[tuple[str, bool]]:
        volumes = services[name]["volumes"]
        return [
            (v["source"], v.get("read_only", False))
            for v in volumes
            if v["source"].startswith("secrets-")
        ]

    for role in ROLES - {"migrate"}:
        assert mounted(role) == [("secrets-app", True)]
    assert mounted("migrate") == [("secrets-app", True), ("secrets-owner", True)]
    # The second time for roles.sql, which lies beside the passwords.
    assert mounted("postgres") == [("secrets-postgres", True)] * 2
    assert mounted("redis") == [("secrets-redis", True)]


def test_only_the_proxys_port_is_published_and_only_on_this_machine(clone: Path) -> None:
    def published(**env: str) -> dict[str, list[str]]:
        return {
            name: [f"{p.get('host_ip', '')}:{p['published']}" for p in service["ports"]]
            for name, service in config(clone, **env)["services"].items()
            if service.get("ports")
        }

    assert published() == {"proxy": ["127.0.0.1:8000"]}
    asked = published(PORT="8100", PUBLISH_ADDRESS="192.0.2.1")
    assert asked == {"proxy": ["192.0.2.1:8100"]}
    assert published(PUBLISH_ADDRESS="[::1]") == {"proxy": ["::1:8000"]}


def test_a_site_with_a_name_is_public_unless_a_proxy_of_ones_own_stands_in_front(
    clone: Path,
) -> None:
    def proxy(**env: str) -> tuple[list[str], str, str]:
        services = config(clone, **env)["services"]
        ports = [f"{p.get('host_ip', '')}:{p['published']}" for p in services["proxy"]["ports"]]
        environment = services["proxy"]["environment"]
        return ports, environment["SITE_ADDRESS"], environment.get("VISITOR", "seen")

    name = {"SITE_HOST": "example.com"}
    assert proxy(**name) == ([":80", ":443", ":443"], "example.com", "seen")
    assert proxy(**name, TRUSTED_PROXIES="0") == proxy(**name)
    behind = (["127.0.0.1:8000"], "http://:8000", "told")
    assert proxy(**name, TRUSTED_PROXIES="1") == proxy(TRUSTED_PROXIES="2") == behind


def test_the_stacks_own_proxy_is_believed_unless_others_stand_in_front(clone: Path) -> None:
    def believed(**env: str) -> set[str]:
        services = config(clone, **env)["services"]
        return {services[role]["environment"]["TRUSTED_PROXIES"] for role in ROLES}

    assert believed() == believed(TRUSTED_PROXIES="0", SENTRY_DSN="x://elsewhere") == {"1"}
    assert believed(TRUSTED_PROXIES="2", WEB_EGRESS="true") == {"2"}


def test_the_containers_have_ipv6_if_they_are_told_to(clone: Path) -> None:
    def enabled(**env: str) -> bool:
        return bool(config(clone, **env)["networks"]["default"].get("enable_ipv6"))

    assert (enabled(), enabled(IPV6="true")) == (False, True)


@pytest.mark.parametrize("layers", [(), ("deploy/compose/tls.yaml",)], ids=["plain", "tls"])
def test_no_container_reads_a_file_of_the_clone(clone: Path, layers: tuple[str, ...]) -> None:
    """Its mode and SELinux's label are the clone's, and no container's."""
    parsed = config(clone, *layers, COMPOSE_PROFILES="*")
    assert parsed["services"].keys() >= {"backup", "archive", "restore", "prometheus"}
    assert not {"configs", "secrets"} & parsed.keys()  # Compose mounts the files of both
    for name, service in parsed["services"].items():
        assert {v["type"] for v in service.get("volumes", ())} <= {"volume"}, name


def test_the_servers_are_on_a_network_without_a_way_out(clone: Path) -> None:
    parsed = config(clone)
    assert parsed["networks"]["backend"]["internal"] is True
    for name in ("postgres", "redis", "beat", "migrate"):
        assert list(parsed["services"][name]["networks"]) == ["backend"]
    assert parsed["services"]["secrets"]["network_mode"] == "none"
    # Web is reached by the proxy alone.
    assert parsed["networks"]["front"]["internal"] is True
    assert sorted(parsed["services"]["proxy"]["networks"]) == ["default", "front"]
    assert sorted(parsed["services"]["web"]["networks"]) == ["backend", "front", "monitoring"]
    assert list(parsed["services"]["worker"]["networks"]) == ["backend"]


@pytest.mark.parametrize("name", ["DATABASE_URL", "CELERY_BROKER_URL"])
def test_with_a_server_elsewhere_every_role_has_a_way_out(clone: Path, name: str) -> None:
    services = config(clone, **{name: "x://elsewhere"})["services"]
    assert all("default" in services[role]["networks"] for role in ROLES)


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("", {"WORKER_EGRESS": "false", "WEB_EGRESS": "false"}),
        ("beat", {"ALERT_URL": "x://elsewhere"}),
        ("beat", {"ALERT_EMAIL": "x@elsewhere", "HEARTBEAT_PING_URL": "x://elsewhere"}),
        ("worker", {"EMAIL_URL": "x://elsewhere"}),
        ("worker", {"WORKER_EGRESS": "true"}),
        ("web", {"WEB_EGRESS": "true"}),
    ],
    ids=str,
)
def test_one_role_has_a_way_out_for_what_it_alone_sends(
    clone: Path, role: str, names: dict[str, str]
) -> None:
    services = config(clone, **names)["services"]
    assert [name for name in ROLES if "default" in services[name]["networks"]] == [role] * bool(
        role
    )
    assert "elsewhere" not in str([services[name] for name in ROLES])


def test_another_projects_image_is_never_run_and_this_one_is_that_of_the_tree(clone: Path) -> None:
    def image(**env: str) -> tuple[str, str]:
        service = config(clone, **env)["services"]["secrets"]
        return service["image"], service["pull_policy"]

    assert image() == ("proj:local", "build")
    assert image(COMPOSE_PROJECT_NAME="other") == ("other:local", "build")
    assert image(APP_IMAGE="registry.example/proj:1") == ("registry.example/proj:1", "never")


def test_env_takes_values_as_they_stand(clone: Path, tmp_path: Path) -> None:
    """``make run`` reads .env without quotes, comments and ``$``; one file means one thing."""
    folder = tmp_path / "proj"
    (folder / "k8s").mkdir(parents=True)
    (folder / "compose.yaml").write_text((clone / "compose.yaml").read_text())
    (folder / "k8s" / "base").symlink_to(clone / "k8s" / "base")
    (folder / "deploy").symlink_to(clone / "deploy")
    (folder / ".env").write_text("DEFAULT_FROM_EMAIL=a#b <x@localhost> 'c'\nWEB_BIND=127.0.0.1:1\n")

    environment = config(folder)["services"]["web"]["environment"]

    assert environment["DEFAULT_FROM_EMAIL"] == "a#b <x@localhost> 'c'"
    # But what would make the role unreachable in its container is not the person's to set.
    assert environment["WEB_BIND"] == ":8000"


def test_with_tls_the_stores_keep_what_they_are_told_without_it(clone: Path) -> None:
    plain, encrypted = (
        config(clone, *layers)["services"] for layers in ((), ("deploy/compose/tls.yaml",))
    )
    for store in ("postgres", "redis"):
        assert encrypted[store]["command"] == plain[store]["command"]


def test_the_development_layer_mounts_the_source_read_only(clone: Path) -> None:
    services = config(clone, "deploy/compose/dev.yaml")["services"]
    for name in ROLES:
        mounts = {v["target"]: v for v in services[name]["volumes"] if v["type"] == "bind"}
        assert mounts.keys() == {"/app/apps", "/app/durable", "/app/proj", "/app/docker"}
        assert all(mount["read_only"] for mount in mounts.values())
        # Without it, SELinux lets no container read them.
        assert {mount["bind"]["selinux"] for mount in mounts.values()} == {"z"}
        assert services[name]["environment"]["DEBUG"] == "true"
        assert services[name]["read_only"] is True
