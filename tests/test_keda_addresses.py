"""docker/keda_addresses.py: what KEDA is told follows the two URLs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "docker" / "keda_addresses.py"
GENERATED = ("postgresql://proj:p%40ss@postgres:5432/proj", "redis://proj:secret@redis:6379/0")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keda_addresses", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_short_names_become_names_that_other_namespaces_know(script: ModuleType) -> None:
    assert script.keys(*GENERATED, "proj-prod") == {
        "keda_database_url": "postgresql://proj:p%40ss@postgres.proj-prod.svc:5432/proj",
        "keda_redis_address": "redis.proj-prod.svc:6379",
        "keda_redis_username": "proj",
        "keda_redis_password": "secret",
    }


def test_full_names_and_addresses_stay(script: ModuleType) -> None:
    database = "postgresql://u:p@db.example.com/proj?sslmode=require"
    found = script.keys(database, "rediss://user:p%2Fw@[fd00::7]:6380/1", "proj-prod")
    assert found == {
        "keda_database_url": database,
        "keda_redis_address": "[fd00::7]:6380",
        "keda_redis_username": "user",
        "keda_redis_password": "p/w",
    }


def test_a_server_with_an_authority_of_the_namespace_is_asked_by_tls_without_its_file(
    script: ModuleType,
) -> None:
    query = "?sslmode=verify-full&sslrootcert=/run/secrets/stores/ca.crt"
    found = script.keys(GENERATED[0] + query, "", "n")["keda_database_url"]
    assert found == "postgresql://proj:p%40ss@postgres.n.svc:5432/proj?sslmode=require"


def test_a_user_named_like_the_host_is_left_alone(script: ModuleType) -> None:
    found = script.keys("postgresql://postgres:postgres@postgres/postgres", "", "n")
    assert found == {"keda_database_url": "postgresql://postgres:postgres@postgres.n.svc/postgres"}


def test_another_broker_has_no_keys_of_redis(script: ModuleType) -> None:
    assert set(script.keys(GENERATED[0], "amqp://rabbit", "n")) == {"keda_database_url"}


def test_only_what_differs_is_written_so_a_new_password_is_followed(script: ModuleType) -> None:
    database, broker = GENERATED
    urls = {"database_url": database, "celery_broker_url": broker}
    assert script.changed({**urls, **script.keys(database, broker, "n")}, "n") == {}
    rotated = {**urls, **script.keys(database, "redis://proj:old@redis:6379/0", "n")}
    assert script.changed(rotated, "n") == {"keda_redis_password": "secret"}


@pytest.mark.parametrize("broker", ["redis://:hid/den@h/0", "redis://:hid[den@h/0"])
def test_a_url_that_can_not_be_read_changes_nothing(script: ModuleType, broker: str) -> None:
    """The error of the parser quotes a part of the password, and went to the log."""
    assert script.changed({"celery_broker_url": broker}, "proj-prod") == {}
