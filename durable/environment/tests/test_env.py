"""How the environment is read: X or X_FILE, types, and one line for what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from durable.environment.reader import ConfigurationError, Reader, load_env_files


def test_a_value_can_stand_in_a_file_and_its_last_line_break_is_not_part_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_text(" $pa ss\n")
    assert Reader({"KEY_FILE": str(tmp_path / "key")}).raw("KEY") == " $pa ss"


def test_variable_and_file_with_different_values_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("same\n")
    env = {"KEY": "same", "KEY_FILE": str(tmp_path / "key")}
    assert Reader(env).raw("KEY") == "same"
    with pytest.raises(ConfigurationError, match="KEY and KEY_FILE are both set, to different"):
        Reader({**env, "KEY": "other"}).raw("KEY")


def test_a_value_that_begins_with_a_dollar_sign_is_taken_as_it_stands() -> None:
    """django-environ would look up a variable of that name: a random password may begin so."""
    assert Reader({"KEY": "$HOME"}).text("KEY") == "$HOME"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Reader({"N": ""}).integer("N", 7) == 7


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"KEY_FILE": "/no/such/file"}).raw("KEY")
    assert str(error.value) == (
        "KEY_FILE='/no/such/file': can't be read (No such file or directory); "
        "expected a file that holds KEY"
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("four", "N='four': expected a whole number, 1 or more"),
        ("0", "N='0': expected a whole number, 1 or more"),
        ("1.5", "N='1.5': expected a whole number, 1 or more"),
    ],
)
def test_a_wrong_number_names_variable_value_and_what_would_be_right(value: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"N": value}).integer("N", 3, least=1)
    assert str(error.value) == line


@pytest.mark.parametrize("word", ["true", "1", "Yes", "ON"])
def test_words_for_true(word: str) -> None:
    assert Reader({"B": word}).boolean("B", False) is True


@pytest.mark.parametrize("word", ["false", "0", "No", "off"])
def test_words_for_false(word: str) -> None:
    assert Reader({"B": word}).boolean("B", True) is False


def test_any_other_word_is_neither_true_nor_false() -> None:
    with pytest.raises(ConfigurationError, match=r"DEBUG='ture': expected true or false"):
        Reader({"DEBUG": "ture"}).boolean("DEBUG", False)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://a:hidden@db/x", "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("postgresql://a:hidden@db:port/x", "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("postgresql://a:hidden@db:5432/", "the database's name is missing"),
    ],
)
def test_a_wrong_database_url_is_explained_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"DATABASE_URL": url}).database("DATABASE_URL", "")
    assert complaint in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_password_with_special_characters_survives_in_a_database_url() -> None:
    env = {"DATABASE_URL": "postgresql://u:p%40%2F%25%23@db:5433/name?sslmode=require"}
    config = Reader(env).database("DATABASE_URL", "")
    assert (config["PASSWORD"], config["HOST"], config["PORT"]) == ("p@/%#", "db", 5433)
    assert config["OPTIONS"] == {"sslmode": "require"}


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALPHA", "ALPHA_FILE", "BETA"):
        monkeypatch.setenv(name, "x")  # so that the fixture restores what the test leaves
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("clean_environ")
def test_the_first_file_wins_and_the_environment_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("# comment\n\nALPHA=first 'quoted' # no comment\n")
    (tmp_path / "b").write_text("ALPHA=second\nBETA=second\n")
    monkeypatch.setenv("BETA", "environment")
    load_env_files(tmp_path / "a", tmp_path / "b", tmp_path / "missing")
    assert os.environ["ALPHA"] == "first 'quoted' # no comment"
    assert os.environ["BETA"] == "environment"


@pytest.mark.usefixtures("clean_environ")
def test_a_stronger_sources_file_variable_is_not_mixed_with_a_weaker_sources_value(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_text("ALPHA_FILE=/somewhere\n")
    (tmp_path / "b").write_text("ALPHA=value\n")
    load_env_files(tmp_path / "a", tmp_path / "b")
    assert os.environ["ALPHA_FILE"] == "/somewhere"
    assert "ALPHA" not in os.environ


def test_a_line_that_is_no_assignment_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ALPHA=1\nexport BETA\n")
    with pytest.raises(ConfigurationError, match=r"a, line 2: expected NAME=value"):
        load_env_files(tmp_path / "a")


def test_what_a_mail_url_leaves_out_is_left_to_django() -> None:
    assert Reader({"EMAIL_URL": "smtp+tls://mail:p%40ss@relay"}).email("EMAIL_URL") == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "relay",
        "EMAIL_HOST_USER": "mail",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_USE_TLS": True,
    }
