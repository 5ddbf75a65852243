"""Limits, acknowledgement and waiting times: what would run a task twice, or lose it, is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks

from .conftest import Change, messages

Task = Callable[..., str]


def test_the_projects_own_settings_contradict_nothing() -> None:
    assert messages() == {}


def test_a_task_that_may_take_longer_than_the_broker_waits_is_named_with_both_numbers(
    task: Task,
) -> None:
    name = task(time_limit=4000)
    text = messages()["proj.E001"]
    assert f"visibility_timeout=900 is not above the 4000 s that {name} may take" in text
    assert '{"visibility_timeout": 4060}' in text


def test_a_soft_limit_above_the_hard_one_counts_for_it_prolongs_the_task(task: Task) -> None:
    name = task(time_limit=10, soft_time_limit=4000)
    found = messages()
    assert f"the 4000 s that {name} may take" in found["proj.E001"]
    assert f"{name}: its hard time limit of 10 s is not above its soft one" in found["proj.W002"]


def test_a_hard_limit_of_its_own_below_the_common_soft_one_has_no_effect(task: Task) -> None:
    name = task(time_limit=60)
    found = messages()
    assert found.keys() == {"proj.W002"}
    assert f"Give {name} a soft_time_limit= below 60" in found["proj.W002"]


def test_a_soft_limit_of_its_own_below_the_hard_one_is_right(task: Task) -> None:
    task(time_limit=60, soft_time_limit=50)
    assert messages() == {}


def test_prefetched_messages_wait_as_well(redis: Change, conf: Change) -> None:
    conf(worker_prefetch_multiplier=4)
    found = messages()
    assert "CELERY_WORKER_PREFETCH_MULTIPLIER=4" in found["proj.E001"]  # 4 × 300 s
    assert found.keys() == {"proj.E001", "proj.W012"}
    redis(visibility_timeout=1201)
    assert messages().keys() == {"proj.W012"}


def test_a_worker_that_takes_everything_is_refused(conf: Change) -> None:
    conf(worker_prefetch_multiplier=0)
    assert messages().keys() == {"proj.E012", "proj.W012"}


def test_a_task_without_an_end_is_named(task: Task, conf: Change) -> None:
    name = task(time_limit=0)
    found = messages()
    assert found.keys() == {"proj.E002"}
    assert f"No hard time limit for {name}:" in found["proj.E002"]
    conf(broker_url="amqp://localhost", broker_read_url="amqp://localhost")
    assert messages().keys() == {"proj.W001", "proj.W003"}


def test_rabbitmq_does_not_wait_for_hours(task: Task, conf: Change) -> None:
    conf(broker_url="amqp://localhost", broker_read_url="amqp://localhost")
    name = task(time_limit=7200)
    found = messages()
    assert found.keys() == {"proj.W003"}
    assert f"{name} may take 7200 s" in found["proj.W003"]


def test_a_late_task_whose_process_dies_must_go_back(task: Task) -> None:
    name = task(reject_on_worker_lost=False)
    found = messages()
    assert found.keys() == {"proj.E011"}
    assert f"acks_late without reject_on_worker_lost for {name}:" in found["proj.E011"]


def test_an_early_acknowledged_task_is_named(task: Task) -> None:
    name = task(acks_late=False)
    found = messages()
    assert found.keys() == {"proj.W011"}
    assert f"acks_late=False for {name}:" in found["proj.W011"]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("task.apply_async(countdown=3600)", True),
        ("task.apply_async(['a'], countdown=60 * 60)", True),
        ("self.retry(countdown=15 * 60)", True),
        ("task.apply_async(countdown=60)", False),
        ("task.apply_async(countdown=seconds)", False),
        ("task.apply_async_on_commit(countdown=3600)", False),
        ("with durable(): task.apply_async(countdown=3600)", False),
        ("with calls.durable(), other: task.apply_async(countdown=3600)", False),
    ],
)
def test_a_countdown_that_outlasts_the_visibility_timeout_is_found_in_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, seen: bool
) -> None:
    (tmp_path / "views.py").write_text(f"def view(request):\n    {source}\n")
    monkeypatch.setattr(apps.get_app_config("durable_checks"), "path", str(tmp_path))
    found = messages()
    assert found.keys() == ({"proj.E041"} if seen else set())
    if seen:
        assert "views.py:2: " in found["proj.E041"]
        assert "is not below visibility_timeout=900" in found["proj.E041"]


def test_retries_that_wait_for_longer_are_named(task: Task) -> None:
    name = task(default_retry_delay=3600)
    assert f"{name}: its retries wait for up to 3600 s" in messages()["proj.W041"]


def test_a_backoff_that_ends_below_is_right(task: Task) -> None:
    task(autoretry_for=(OSError,), retry_backoff=True, retry_backoff_max=600)
    assert messages() == {}


def test_a_check_that_was_silenced_says_nothing(task: Task, settings: Any) -> None:
    task(reject_on_worker_lost=False)
    settings.SILENCED_SYSTEM_CHECKS = ["proj.E011"]
    assert messages() == {}


def test_a_plain_check_leaves_deployment_alone(task: Task) -> None:
    task(reject_on_worker_lost=False)
    assert run_checks(tags=["proj"]) == []
