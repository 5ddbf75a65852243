"""Every Celery setting from the environment, with the type Celery gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from durable.environment.celery_settings import celery_settings, options
from durable.environment.reader import ConfigurationError, Reader


def read(name: str, value: str) -> Any:
    return celery_settings(Reader({name: value}))[name]


def complaint(name: str, value: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        celery_settings(Reader({name: value}))
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("CELERY_TIMEZONE", "Europe/Berlin", "Europe/Berlin"),
        ("CELERY_TASK_TRACK_STARTED", "false", False),
        ("CELERY_TASK_TIME_LIMIT", "30", 30.0),
        ("CELERY_TASK_ALWAYS_EAGER", "yes", True),
        ("CELERY_RESULT_BACKEND", "django-cache", "django-cache"),
        ("CELERY_RESULT_BACKEND", "redis://h/1", "redis://h/1"),
        ("CELERY_CACHE_BACKEND", "default", "default"),
        ("CELERY_BEAT_SCHEDULER", "django", "django"),
        ("CELERY_WORKER_CONCURRENCY", "8", 8),
        ("CELERY_WORKER_CONCURRENCY", "auto", "auto"),
        ("CELERY_WORKER_MAX_TASKS_PER_CHILD", "100", 100),
        ("CELERY_ACCEPT_CONTENT", "json, msgpack", ["json", "msgpack"]),
        ("CELERY_IMPORTS", "a.tasks,b.tasks", ("a.tasks", "b.tasks")),
        ("CELERY_TASK_ROUTES", '{"a.*": {"queue": "q"}}', {"a.*": {"queue": "q"}}),
        ("CELERY_TASK_ROUTES", "proj.celery:route", "proj.celery:route"),
        (
            "CELERY_BROKER_TRANSPORT_OPTIONS",
            '{"visibility_timeout": 60}',
            {"visibility_timeout": 60},
        ),
        ("CELERY_DB_REUSE_MAX", "5", 5),
    ],
)
def test_a_value_gets_the_type_of_its_option(name: str, value: str, parsed: Any) -> None:
    result = read(name, value)
    assert result == parsed
    assert type(result) is type(parsed)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:password@host:6379/0",
        "rediss://host:6379/0?ssl_cert_reqs=required",
        "sentinel://a:26379;sentinel://b:26379",
        "sentinel://a:26379;b:26379/0",
        "amqp://user:password@host:5672//",
        "redis+socket:///run/redis.sock",
    ],
)
def test_every_broker_of_celerys_is_accepted(url: str) -> None:
    assert read("CELERY_BROKER_URL", url) == url


def test_every_option_that_celery_has_can_be_set() -> None:
    """The names come from Celery; a value fit for the type is all they need."""
    fit = {"int": "1", "float": "1", "bool": "1", "dict": "{}", "list": "a", "tuple": "a"}
    special = {
        "TIMEZONE": "UTC",
        "BROKER_URL": "redis://",
        "BROKER_READ_URL": "redis://",
        "BROKER_WRITE_URL": "redis://",
        "RESULT_BACKEND": "redis",
        "BEAT_SCHEDULER": "celery.beat:PersistentScheduler",
        "TASK_ROUTES": "[]",
        "TASK_ANNOTATIONS": "{}",
        "WORKER_CONCURRENCY": "1",
    }
    env = {
        f"CELERY_{key}": special.get(key) or fit.get(str(option.type), "1")
        for key, option in options().items()
    }
    assert len(env) > 150
    assert celery_settings(Reader(env)).keys() == env.keys()


def test_a_secret_part_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:secret@h/0\n")
    env = {"CELERY_BROKER_URL_FILE": str(tmp_path / "url")}
    assert celery_settings(Reader(env)) == {"CELERY_BROKER_URL": "redis://:secret@h/0"}


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "CELERY_TASK_TIME_LIMIT",
            "5m",
            "CELERY_TASK_TIME_LIMIT='5m': expected a number, 0 or more",
        ),
        (
            "CELERY_TASK_TRACK_STARTED",
            "maybe",
            "CELERY_TASK_TRACK_STARTED='maybe': expected true or false",
        ),
        (
            "CELERY_TASK_QUEUES",
            "[1]",
            "CELERY_TASK_QUEUES='[1]': expected a JSON object, e.g. {\"key\": 1}",
        ),
        (
            "CELERY_TASK_ROUTES",
            "nojson",
            "CELERY_TASK_ROUTES='nojson': expected a JSON object, e.g. "
            '{"app.tasks.*": {"queue": "mail"}}, or the path of a router',
        ),
        (
            "CELERY_WORKER_CONCURRENCY",
            "0",
            "CELERY_WORKER_CONCURRENCY='0': expected a whole number, 1 or more, or auto",
        ),
        (
            "CELERY_TIMEZONE",
            "Mars/Olympus",
            "CELERY_TIMEZONE='Mars/Olympus': expected a time zone's name such as UTC or "
            "Europe/Berlin",
        ),
        (
            "CELERY_BROKER_URL",
            "http://h",
            "CELERY_BROKER_URL=(not shown, it may hold a password): expected a URL such as "
            "redis://, rediss://, sentinel:// or amqp://USER:PASSWORD@HOST:PORT/PATH (in a "
            "password, / is written as %2F, ? as %3F, # as %23, @ as %40, [ as %5B, % as %25)",
        ),
        (
            "CELERY_RESULT_BACKEND",
            "djangodb",
            "CELERY_RESULT_BACKEND='djangodb': expected django-db, django-cache, or a URL that "
            "Celery knows (in a password, / is written as %2F, ? as %3F, # as %23, @ as %40, [ as "
            "%5B, % as %25)",
        ),
        (
            "CELERY_TIMEZONE",
            "US/Eastern",
            "CELERY_TIMEZONE='US/Eastern': expected America/New_York, today's name of this time "
            "zone",
        ),
        (
            "CELERY_ACCEPT_CONTENT",
            "'json'",
            "CELERY_ACCEPT_CONTENT=\"'json'\": expected a JSON array or a comma-separated list "
            "without quotation marks, brackets and blanks: a,b",
        ),
        (
            "CELERY_BEAT_SCHEDULER",
            "nosuch.module:Scheduler",
            "CELERY_BEAT_SCHEDULER='nosuch.module:Scheduler': expected the path of a class, "
            "package.module:Class",
        ),
    ],
)
def test_a_malformed_value_is_one_line_with_variable_value_and_what_would_be_right(
    name: str, value: str, line: str
) -> None:
    assert complaint(name, value) == line


@pytest.mark.parametrize(
    "value",
    [
        "reddis://:hidden@h/0",
        "redis://:hid/den@h:6379/0",
        "redis://:12?hidden@h:6379/0",
        "redis://:12#hidden@h:6379/0",
        "redis://:hid[den@h:6379/0",
        "redis://:hid%pen@h:6379/0",
        "sentinel://:hidden@h:26379;sentinel://:hid/den@h:26379",
        "redis://:hidden@h:port/0",
        '"redis://:hidden@h:6379/0"',
        ":hidden:6379",
    ],
)
@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"])
def test_a_url_that_can_not_be_read_is_refused_and_nothing_of_it_is_shown(
    name: str, value: str
) -> None:
    text = complaint(name, value)
    assert text.startswith(f"{name}=(not shown, it may hold a password")
    assert "/ is written as %2F" in text
    assert "hid" not in text
    assert "12" not in text


def test_a_password_in_an_option_is_not_shown() -> None:
    option = '{"sentinel_kwargs": {"password": "hidden"}'
    assert "hidden" not in complaint("CELERY_BROKER_TRANSPORT_OPTIONS", option)


@pytest.mark.parametrize("name", ["UTC", "GMT", "Etc/UTC", "Europe/Amsterdam", "America/New_York"])
def test_a_time_zone_by_its_name_of_today_is_accepted(name: str) -> None:
    """Amsterdam's is kept as a link to another one's, and is no old name."""
    assert read("CELERY_TIMEZONE", name) == name


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    assert complaint("CELERY_TASK_TIMELIMIT", "1") == (
        "CELERY_TASK_TIMELIMIT: Celery has no such setting; did you mean CELERY_TASK_TIME_LIMIT?"
    )
    assert complaint("CELERY_FOO", "1") == (
        "CELERY_FOO: Celery has no such setting; it must be one of Celery's own settings"
    )


@pytest.mark.parametrize("name", ["CELERY_WORKER_QUEUES", "CELERY_LOG_LEVEL", "CELERY_SKIP_CHECKS"])
def test_what_the_celery_command_reads_for_itself_is_left_to_it(name: str) -> None:
    assert celery_settings(Reader({name: "1"})) == {}
