"""How the environment is read: X or X_FILE, types, and one line for what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from durable.environment.declared import Declared, Setting
from durable.environment.reader import ConfigurationError, Reader, load_env_files
from durable.journal.conf import HISTORY


@pytest.fixture
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALPHA", "ALPHA_FILE", "BETA"):
        monkeypatch.setenv(name, "x")  # so that the fixture restores what the test leaves
        monkeypatch.delenv(name)


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
        "expected the path of a file that holds KEY"
    )


def test_a_value_that_stands_where_its_files_name_belongs_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"^URL_FILE=\(not shown\): can't be read"):
        Reader({"URL_FILE": "redis://:hidden@h"}).raw("URL")


WINDOWS = "ALPHA=größe\r\nBETA=2\r\n"


@pytest.mark.usefixtures("clean_environ")
def test_a_byte_order_mark_and_the_line_breaks_of_windows_are_no_part_of_a_value(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_bytes(WINDOWS.encode("utf-8-sig"))
    load_env_files(tmp_path / "a")
    assert (os.environ["ALPHA"], os.environ["BETA"]) == ("größe", "2")
    (tmp_path / "key").write_bytes("key\r\n".encode("utf-8-sig"))
    assert Reader({"KEY_FILE": str(tmp_path / "key")}).raw("KEY") == "key"
    assert Reader({"KEY": "key\r"}).raw("KEY") == "key", "systemd, docker run --env-file"


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        ("utf-16", "it is UTF-16 or no text; save it as UTF-8"),
        ("utf-16-le", "it is UTF-16 or no text; save it as UTF-8"),
        ("latin-1", "line 1 is not UTF-8 but perhaps Latin-1 or Windows-1252; save it as UTF-8"),
    ],
)
def test_another_encoding_is_named_and_nothing_of_the_file_is_shown(
    tmp_path: Path, encoding: str, reason: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(WINDOWS.encode(encoding))
    with pytest.raises(ConfigurationError) as error:
        load_env_files(path)
    assert str(error.value) == f"{path}: can't be read ({reason})"
    with pytest.raises(ConfigurationError) as error:
        Reader({"KEY_FILE": str(path)}).raw("KEY")
    assert f"can't be read ({reason})" in str(error.value)


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
        ("postgresql://a:hid/den@db:5432/x", "/ is written as %2F"),
        ("postgresql://a:hid?den@db:5432/x", "? as %3F"),
        ("postgresql://a:hid#den@db:5432/x", "# as %23"),
        ("postgresql://a:hid[den@db:5432/x", "[ as %5B"),
        ("postgresql://a:hid%pen@db:5432/x", "% as %25"),
        ("'postgresql://a:hidden@db:5432/x'", "begins with a quotation mark"),
        ("a:hidden", "expected postgresql://"),
    ],
)
def test_a_wrong_database_url_is_explained_without_its_password(url: str, complaint: str) -> None:
    reader = Reader({"DATABASE_URL": url})
    for read in (
        lambda: reader.database("DATABASE_URL", ""),
        lambda: reader.database_url("DATABASE_URL"),
    ):
        with pytest.raises(ConfigurationError) as error:
            read()
        assert complaint in str(error.value)
        assert "hid" not in str(error.value)


def test_a_url_that_libpq_reads_has_one_at_sign() -> None:
    url = "postgresql://u:p@ss@db/name"
    assert Reader({"URL": url}).database("URL", "")["PASSWORD"] == "p@ss"
    with pytest.raises(ConfigurationError, match="@ as %40"):
        Reader({"URL": url}).database_url("URL")


def test_each_of_several_urls_by_http_is_one() -> None:
    urls = "http://proxy:8000/livez,https://proxy/livez"
    assert Reader({"URLS": urls}).web_urls("URLS") == urls.split(",")
    assert Reader({}).web_urls("URLS") == []
    with pytest.raises(ConfigurationError, match=r"expected https://HOST/PATH or .*with commas"):
        Reader({"URLS": "http://proxy:8000/livez,proxy:80"}).web_urls("URLS")


def test_several_hosts_of_a_database_are_kept() -> None:
    config = Reader({"URL": "postgresql://u:p@a:5432,b:5433/name"}).database("URL", "")
    assert (config["HOST"], config["PORT"]) == ("a,b", "5432,5433")


@pytest.mark.parametrize("url", ["smtp://me:pa/ss@relay:25", "smtp://me:12#ss@relay:25"])
def test_a_wrong_mail_url_is_explained_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"EMAIL_URL \(not shown.*/ is written as %2F"):
        Reader({"EMAIL_URL": url}).email("EMAIL_URL")


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("noreply@example.com", True),
        ("Example <noreply@localhost>", True),
        ('"Example, Inc." <noreply@example.com>', True),
        ("noreply", False),
        ("Example noreply@example.com", False),
        ("a@example.com, b@example.com", False),
        ("<a@example.com>\nBcc: b@example.com", False),
    ],
)
def test_mail_comes_from_one_address(value: str, is_one: bool) -> None:
    reader = Reader({"DEFAULT_FROM_EMAIL": value})
    if is_one:
        assert reader.sender("DEFAULT_FROM_EMAIL", "") == value
        return
    with pytest.raises(ConfigurationError, match="expected one address: Example <noreply@"):
        reader.sender("DEFAULT_FROM_EMAIL", "")


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("https://example.com", "example.com"),
        ("example.com:8000", "example.com"),
        ("example.com/", "example.com"),
        ('"example.com"', "example.com"),
        ("['a.com', 'b.com']", "a.com,b.com"),
        ("a.com b.com;c.com", "a.com,b.com,c.com"),
        ("a.com,*.b.com", "a.com,.b.com"),
        ("a.com.", "a.com"),
        ("::1,[::1]:8000", "[::1],[::1]"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("a_b.com", "host names, comma-separated: example.com,www.example.com"),
    ],
)
def test_a_host_that_would_match_no_request_is_refused_with_what_to_write(
    value: str, hosts: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"ALLOWED_HOSTS": value}).hosts("ALLOWED_HOSTS", [])
    assert str(error.value) == f"ALLOWED_HOSTS={value!r}: expected {hosts}"


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("example.com", "https://example.com"),
        ("example.com:8000", "https://example.com:8000"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://Example.com", "https://example.com"),
        ("https://.example.com", "https://*.example.com"),
        ('["https://a.com", "http://b.com:80"]', "https://a.com,http://b.com"),
        ("*", "schemes and host names, comma-separated: https://example.com,https://*.example.org"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_with_what_to_write(
    value: str, origins: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"ORIGINS": value}).origins("ORIGINS", [])
    assert str(error.value) == f"ORIGINS={value!r}: expected {origins}"


def test_hosts_and_origins_as_django_has_them_are_taken() -> None:
    hosts = ["example.com", ".a.org", "*", "web", "10.0.0.1", "[::1]", "EXAMPLE.org"]
    assert Reader({"X": " , ".join(hosts)}).hosts("X", []) == hosts
    origins = [
        "https://example.com",
        "http://localhost:8000",
        "https://*.a.org",
        "http://[::1]:8000",
    ]
    assert Reader({"X": ",".join(origins)}).origins("X", []) == origins


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://example.com", "example.com"),
        ("example.com:8443", "example.com"),
        ("a.com,b.com", "one host name such as example.com, without *"),
        (".example.com", "one host name such as example.com, without *"),
    ],
)
def test_the_sites_one_host_is_a_name_alone(value: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"SITE_HOST": value}).host("SITE_HOST")
    assert str(error.value) == f"SITE_HOST={value!r}: expected {expected}"


def test_a_login_in_the_place_of_a_host_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as error:
        Reader({"SITE_HOST": "https://me:hidden@example.com"}).host("SITE_HOST")
    assert str(error.value).endswith(": expected example.com")
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "path"), [("app", "/app"), ("/a/b/", "/a/b"), ("/", ""), ("", "")]
)
def test_a_path_may_have_a_slash_at_either_end(value: str, path: str) -> None:
    assert Reader({"SITE_PATH": value}).path("SITE_PATH") == path


@pytest.mark.parametrize("value", ["https://example.com/app", "'/app'", "/a//b", "/a b"])
def test_a_path_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a path of letters, digits"):
        Reader({"SITE_PATH": value}).path("SITE_PATH")


@pytest.mark.parametrize("value", ['"a,b"', "a b", "[a,b]", "a;b"])
def test_a_list_in_another_languages_writing_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a comma-separated list without quot"):
        Reader({"QUEUES": value}).names("QUEUES", [])


@pytest.mark.parametrize("value", ["a@b.com c@d.com", "a@b.com;c@d.com", "'a@b.com'", "ann", "a@"])
def test_addresses_that_no_mail_would_reach_are_refused(value: str) -> None:
    alert = Declared("ALERT", EMAIL=Setting((), kind="addresses"))
    given = alert.given(Reader({"ALERT_EMAIL": "a@b.com, c@d.com"}))
    assert given == {"ALERT_EMAIL": ["a@b.com", "c@d.com"]}
    with pytest.raises(ConfigurationError, match="expected addresses, comma-separated: a@example"):
        alert.given(Reader({"ALERT_EMAIL": value}))


def test_names_that_would_match_nothing_are_refused_also_of_what_is_not_to_be_kept() -> None:
    """Each would be kept in the journal that was meant to be left out."""
    given = HISTORY.given(Reader({"HISTORY_REDACT": "card, iban"}))
    assert given["HISTORY_REDACT"] == ["card", "iban"]
    assert tuple(HISTORY.given(Reader({}))["HISTORY_REDACT"]) == HISTORY.declared["REDACT"].default
    for value in ('["card", "iban"]', "card iban", "card;iban"):
        with pytest.raises(ConfigurationError, match="expected a comma-separated list without qu"):
            HISTORY.given(Reader({"HISTORY_REDACT": value}))


def test_a_password_with_special_characters_survives_in_a_database_url() -> None:
    env = {"DATABASE_URL": "postgresql://u:p%40%2F%25%23@db:5433/name?sslmode=require"}
    config = Reader(env).database("DATABASE_URL", "")
    assert (config["PASSWORD"], config["HOST"], config["PORT"]) == ("p@/%#", "db", 5433)
    assert config["OPTIONS"] == {"sslmode": "require"}


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


def test_a_line_that_is_no_assignment_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ALPHA=1\nexport BETA=hidden\n")
    with pytest.raises(ConfigurationError, match=r"a, line 2: expected NAME=value") as error:
        load_env_files(tmp_path / "a")
    assert "hidden" not in str(error.value)


def test_what_a_mail_url_leaves_out_is_left_to_django() -> None:
    assert Reader({"EMAIL_URL": "smtp+tls://mail:p%40ss@relay"}).email("EMAIL_URL") == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "relay",
        "EMAIL_HOST_USER": "mail",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_USE_TLS": True,
    }
