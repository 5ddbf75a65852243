"""What stops, waits, connects and answers: each number that contradicts another is named."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app as app
from django.conf import settings as shipped
from django.core.checks import run_checks
from django.db import connection

from durable.checks import capacity

from .conftest import Change, messages


def test_a_worker_needs_35_seconds_more_than_its_soft_shutdown(settings: Any) -> None:
    settings.WORKER_GRACE_PERIOD = 64
    found = messages()
    assert found.keys() == {"proj.E021"}
    assert "WORKER_GRACE_PERIOD=64 is less than" in found["proj.E021"]
    assert "TIMEOUT=30 + 35 s" in found["proj.E021"]
    assert "Set WORKER_GRACE_PERIOD to 65 or more" in found["proj.E021"]
    settings.WORKER_GRACE_PERIOD = 65
    assert messages() == {}


def test_a_stop_must_not_outlast_the_visibility_timeout(settings: Any) -> None:
    settings.WORKER_GRACE_PERIOD = 870
    assert "visibility_timeout=900" in messages()["proj.E022"]
    settings.WORKER_GRACE_PERIOD = 869
    assert messages() == {}


def test_who_kills_a_worker_must_wait_as_long_as_the_worker_was_told(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WORKER_GRACE_PERIOD = 300
    assert messages() == {}, "compose and `make run` wait for the number itself"
    monkeypatch.setenv("TERMINATION_GRACE_PERIOD", "70")
    found = messages()
    assert found.keys() == {"proj.E023"}
    assert "WORKER_GRACE_PERIOD=300, and this worker is killed 70 s after" in found["proj.E023"]
    monkeypatch.setenv("TERMINATION_GRACE_PERIOD", "300")
    assert messages() == {}


@pytest.mark.parametrize("name", ["socket_timeout", "socket_connect_timeout"])
@pytest.mark.parametrize("value", [None, 300])
def test_a_frozen_redis_must_be_noticed(redis: Change, name: str, value: int | None) -> None:
    redis(**{name: value})
    found = messages()
    assert found.keys() == {"proj.W021"}
    assert f"{name}={value} " in found["proj.W021"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_connection_retry", False),
        ("broker_connection_retry_on_startup", False),
        ("broker_connection_max_retries", 3),
    ],
)
def test_a_worker_must_wait_for_its_broker(conf: Change, name: str, value: object) -> None:
    conf(**{name: value})
    found = messages()
    assert found.keys() == {"proj.W022"}
    assert f"CELERY_{name.upper()}={str(value).lower()}: " in found["proj.W022"]


@pytest.mark.parametrize("tries", [None, 100])
def test_a_publisher_must_give_up(conf: Change, tries: int | None) -> None:
    conf(task_publish_retry_policy={"max_retries": tries})
    found = messages()
    assert found.keys() == {"proj.W023"}
    assert f"max_retries={tries} in" in found["proj.W023"]
    conf(task_publish_retry=False)
    assert messages() == {}


@pytest.mark.parametrize(("seconds", "found"), [(0, "proj.W031"), (300, "proj.E031")])
def test_results_live_for_longer_than_tasks_but_not_for_ever(
    conf: Change, seconds: int, found: str
) -> None:
    conf(result_expires=seconds)
    [(id_, text)] = messages().items()
    assert id_ == found
    assert f"CELERY_RESULT_EXPIRES={seconds}" in text


def test_times_without_a_time_zone_are_refused(settings: Any) -> None:
    settings.USE_TZ = False
    found = messages()
    assert found.keys() == {"proj.E111"}
    assert (
        "USE_TZ=False: a call with eta= raises a TypeError, and periodic tasks never run"
        in (found["proj.E111"])
    )


def test_kept_connections_are_checked(database: Change) -> None:
    database(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=False)
    assert messages().keys() == {"proj.W051"}
    database(CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False)
    assert messages() == {}


def pool(size: int) -> dict[str, Any]:
    options = shipped.DATABASES["default"]["OPTIONS"]
    return {**options, "pool": {"min_size": 1, "max_size": size}}


def test_the_pool_of_a_web_process_is_as_large_as_its_threads_are_many(
    settings: Any, database: Change
) -> None:
    settings.ROLE = "web"
    database(OPTIONS=pool(settings.WEB_THREADS))
    assert messages() == {}
    database(OPTIONS=pool(settings.WEB_THREADS - 1))
    found = messages()
    assert found.keys() == {"proj.W052"}
    assert "DATABASE_POOL_MAX_SIZE=3 is less than WEB_THREADS=4" in found["proj.W052"]


def test_the_database_has_an_engine_that_knows_an_outage(database: Change) -> None:
    database(ENGINE="django.db.backends.postgresql")
    found = messages()
    assert found.keys() == {"proj.E050"}
    assert "ENGINE=django.db.backends.postgresql: a task" in found["proj.E050"]


def test_a_worker_has_no_pool(settings: Any, conf: Change, database: Change) -> None:
    conf(CELERY_DB_REUSE_MAX=0)
    settings.ROLE = "worker"
    database(OPTIONS=pool(4))
    assert messages().keys() == {"proj.W053"}


@pytest.mark.django_db
def test_more_connections_than_postgresql_takes_are_added_up(settings: Any, conf: Change) -> None:
    def ask() -> list[str]:
        found = run_checks(
            tags=["proj"], include_deployment_checks=True, databases=[connection.alias]
        )
        return [message.msg for message in found if message.id == "proj.W061"]

    assert ask() == []
    settings.WEB_REPLICAS, settings.WORKER_REPLICAS = 30, 10
    conf(worker_concurrency=2)
    [text] = ask()
    assert f"PostgreSQL leaves {capacity.places()} " in text
    assert "web: 30 × (WEB_CONCURRENCY=1 × (a pool of 4 + WEB_THREADS=4 + 1)) = 270" in text
    assert "worker: 10 × (2 × CELERY_WORKER_CONCURRENCY=2 + 3) = 70" in text
    assert "beat: 1 × (3) = 3" in text
    assert "may hold 343 connections" in text


@pytest.mark.parametrize("seconds", [2, 300])
def test_a_leader_has_time_for_three_signs_of_life_and_no_hours(
    settings: Any, seconds: int
) -> None:
    settings.BEAT_LEADER_TIMEOUT = seconds
    found = messages()
    assert found.keys() == {"proj.W071"}
    assert f"BEAT_LEADER_TIMEOUT={seconds}" in found["proj.W071"]


def test_behind_a_pooler_the_leader_needs_its_own_way(settings: Any, database: Change) -> None:
    settings.RESULTS_PREPARE = False
    assert "(RESULTS_PREPARE=false)" in messages()["proj.W072"]
    settings.RESULTS_PREPARE = True
    database(PORT=6432)
    assert "(its port 6432)" in messages()["proj.W072"]
    settings.BEAT_DATABASE_URL = "postgresql://postgres/proj"
    assert messages() == {}


@pytest.mark.parametrize(
    "name", ["celery.beat:PersistentScheduler", "django_celery_beat.schedulers:DatabaseScheduler"]
)
def test_a_scheduler_without_a_leader_is_refused_in_the_role_beat(
    settings: Any, conf: Change, name: str
) -> None:
    conf(beat_scheduler=name)
    assert messages() == {}
    settings.ROLE = "beat"
    found = messages()
    assert found.keys() == {"proj.E071"}
    assert f"CELERY_BEAT_SCHEDULER={name}: " in found["proj.E071"]


def test_a_role_that_waits_for_the_database_is_not_taken_for_dead(
    settings: Any, database: Change
) -> None:
    settings.HEARTBEAT_MAX_AGE = 20
    found = messages()
    assert found.keys() == {"proj.W081"}
    assert "HEARTBEAT_MAX_AGE=20 is not above connect_timeout=5 s + tcp" in found["proj.W081"]
    database(OPTIONS={"connect_timeout": 5})
    assert "without a bound" in messages()["proj.W081"]


def test_a_queue_that_nothing_is_sent_to_is_named_in_the_role_worker(
    settings: Any, monkeypatch: pytest.MonkeyPatch, conf: Change
) -> None:
    monkeypatch.setenv("WORKER_QUEUES", "default, report")
    settings.ROLE = "worker"
    conf(CELERY_DB_REUSE_MAX=0)
    found = messages()
    assert found.keys() == {"proj.W091"}
    assert "nothing is routed to report; known are default" in found["proj.W091"]
    conf(task_routes=("proj.routers:route",))
    assert messages() == {}, "what a function routes can't be seen"


@pytest.mark.parametrize("role", ["", "web", "beat"])
def test_a_queue_that_no_worker_takes_from_is_named(
    settings: Any, monkeypatch: pytest.MonkeyPatch, conf: Change, role: str
) -> None:
    settings.ROLE = role
    monkeypatch.setenv("WORKER_QUEUES", "default, mail,reports")
    assert messages() == {}
    conf(task_routes={**app.conf.task_routes, "apps.orders.tasks.*": {"queue": "orders"}})
    found = messages()
    assert found.keys() == {"proj.W092"}
    assert "tasks are sent to the queue orders, and no worker takes them" in found["proj.W092"]
    assert "Add orders to WORKER_QUEUES" in found["proj.W092"]
    monkeypatch.setenv("WORKER_QUEUES", "default,mail,reports,orders")
    assert messages() == {}


def test_the_queues_of_one_pool_are_not_all_there_are(
    settings: Any, monkeypatch: pytest.MonkeyPatch, conf: Change
) -> None:
    monkeypatch.setenv("WORKER_QUEUES", "reports")
    conf(CELERY_DB_REUSE_MAX=0)
    settings.ROLE = "worker"
    assert messages() == {}
    settings.ROLE = ""
    monkeypatch.setenv("TERMINATION_GRACE_PERIOD", "70")
    assert messages() == {}, "a command typed in a worker's pod"
    monkeypatch.delenv("WORKER_QUEUES")
    monkeypatch.delenv("TERMINATION_GRACE_PERIOD")
    assert messages() == {}, "not known without WORKER_QUEUES"


def test_hosts_are_named_and_what_is_public_is_safe(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "[::1]", "a.localhost", "example.org"]
    settings.DEBUG = True
    found = messages()
    assert found.keys() == {"proj.W102", "proj.W103"}
    assert all("example.org" in text for text in found.values())
    settings.HTTPS_ONLY, settings.NINJA_NUM_PROXIES, settings.DEBUG = True, 1, False
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    assert messages().keys() == {"proj.W104"}
    settings.ALLOWED_HOSTS = ["*"]
    assert messages().keys() == {"proj.W101", "proj.W104"}


def test_a_site_behind_a_proxy_tells_its_visitors_apart(settings: Any) -> None:
    settings.HTTPS_ONLY, settings.NINJA_NUM_PROXIES = True, 0
    assert "Set TRUSTED_PROXIES" in messages()["proj.W106"]
    settings.NINJA_NUM_PROXIES = 1
    assert messages() == {}


def test_the_names_of_a_service_in_a_cluster_are_for_its_pods(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["web", "web.proj-prod", "web.proj-prod.svc", "web.x.cluster.local"]
    assert messages() == {}
    settings.ALLOWED_HOSTS = ["192.168.0.7", "example.xn--p1ai"]
    assert "lets 192.168.0.7, example.xn--p1ai in" in messages()["proj.W102"]


@pytest.mark.parametrize("key", ["x" * 64, "django-insecure-0123456789abcdefghijklmnopqr"])
def test_a_key_that_can_be_guessed_is_named_and_not_shown(settings: Any, key: str) -> None:
    settings.SECRET_KEY = key
    found = messages()
    assert found.keys() == {"proj.W105"}
    assert key not in found["proj.W105"]


def test_django_has_nothing_to_add_for_the_settings_as_they_are_shipped() -> None:
    messages_of_all = run_checks(include_deployment_checks=True)
    assert [m for m in messages_of_all if not m.is_silenced()] == []
    assert app.conf.task_acks_late
