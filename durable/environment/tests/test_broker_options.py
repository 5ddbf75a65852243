"""What the broker is told follows the limits that the environment sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

SHOW = "import json, proj.settings as s; print(json.dumps(s.{}))"


def setting(name: str, **variables: str) -> Any:
    """Return the setting *name* of a process that is started with *variables*."""
    env = {**os.environ, "CELERY_BROKER_URL": "redis://nowhere", **variables}
    show = [sys.executable, "-c", SHOW.format(name)]
    return json.loads(subprocess.check_output(show, cwd=settings.BASE_DIR, env=env))


def options(**variables: str) -> dict[str, Any]:
    found: dict[str, Any] = setting("CELERY_BROKER_TRANSPORT_OPTIONS", **variables)
    return found


def test_a_task_that_may_run_longer_is_not_handed_to_a_second_worker_meanwhile() -> None:
    assert options()["visibility_timeout"] > settings.CELERY_TASK_TIME_LIMIT
    assert options(CELERY_TASK_TIME_LIMIT="3600")["visibility_timeout"] > 3600
    assert options(CELERY_TASK_SOFT_TIME_LIMIT="3600")["visibility_timeout"] > 3600


def test_the_soft_limit_stays_below_the_hard_one_unless_it_is_set_itself() -> None:
    name = "CELERY_TASK_SOFT_TIME_LIMIT"
    assert setting(name, CELERY_TASK_TIME_LIMIT="60") == 54
    assert setting(name, CELERY_TASK_TIME_LIMIT="60", CELERY_TASK_SOFT_TIME_LIMIT="10") == 10


def test_an_option_of_ones_own_leaves_the_others_in_place() -> None:
    given = options(CELERY_BROKER_TRANSPORT_OPTIONS='{"visibility_timeout": 7200}')
    assert given == {**options(), "visibility_timeout": 7200}


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "redis+socket:///s", "sentinel://h"])
def test_a_frozen_broker_blocks_nobody_for_ever(url: str) -> None:
    assert {"socket_timeout", "visibility_timeout"} <= options(CELERY_BROKER_URL=url).keys()


def test_a_broker_without_a_visibility_timeout_gets_none_of_its_options() -> None:
    show = [sys.executable, "-c", "import proj.settings as s; print(dir(s))"]
    env = {**os.environ, "CELERY_BROKER_URL": "amqp://nowhere"}
    names = subprocess.check_output(show, cwd=settings.BASE_DIR, env=env, text=True)
    assert "CELERY_BROKER_TRANSPORT_OPTIONS" not in names
