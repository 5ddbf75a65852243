"""docker/generate-secrets: passwords and keys that no one has to think of, made once."""

from __future__ import annotations

import hashlib
import importlib.util
import stat
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

FOLDERS = ("app", "owner", "backup", "postgres", "redis", "monitoring")
SCRIPT = Path(__file__).parent.parent / "docker" / "generate-secrets"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("generate_secrets", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in FOLDERS:
        (tmp_path / part).mkdir()
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_the_urls_hold_the_passwords_that_the_servers_get(script: ModuleType, folder: Path) -> None:
    assert script.generate(folder, {}) == []

    files = contents(folder)
    database, broker = (
        urlsplit(files[f"app/{name}"]) for name in ("database_url", "celery_broker_url")
    )
    assert database.password == files["postgres/app_password"]
    assert broker.password == files["redis/app_password"]
    assert hashlib.sha256(broker.password.encode()).hexdigest() in files["redis/redis.conf"]
    assert (database.hostname, broker.hostname) == ("postgres", "redis")
    owner, backup = (urlsplit(files[f"{part}/database_url"]) for part in ("owner", "backup"))
    assert owner.password == files["postgres/owner_password"]
    assert backup.password == files["postgres/backup_password"]
    assert (owner.username, backup.username, database.username) == (
        "proj",
        "proj_backup",
        "proj_app",
    )


def test_only_the_servers_have_the_passwords_of_who_may_do_everything(
    script: ModuleType, folder: Path
) -> None:
    script.generate(folder, {})
    files = contents(folder)
    for server in ("postgres", "redis"):
        all_powerful = files[f"{server}/password"]
        assert [name for name, text in files.items() if all_powerful in text] == [
            f"{server}/password"
        ]


@pytest.mark.parametrize(
    ("env", "owner", "backup"),
    [
        ({"DATABASE_URL": "x://a"}, "x://a", "x://a"),
        ({"DATABASE_URL": "x://a", "BACKUP_DATABASE_URL": "x://b"}, "x://b", "x://b"),
        ({"DATABASE_URL": "x://a", "OWNER_DATABASE_URL": "x://o"}, "x://o", "x://a"),
    ],
)
def test_with_a_database_elsewhere_migration_and_backup_take_the_best_url_that_is_known(
    script: ModuleType, folder: Path, env: dict[str, str], owner: str, backup: str
) -> None:
    script.generate(folder, env)
    files = contents(folder)
    assert files["owner/owner_database_url"] == env.get("OWNER_DATABASE_URL", "")
    assert (files["owner/database_url"], files["backup/database_url"]) == (owner, backup)


def test_without_a_broker_its_url_is_empty_and_a_persons_own_stays(
    script: ModuleType, folder: Path
) -> None:
    def url(**env: str) -> str:
        script.generate(folder, env)
        return (folder / "app/celery_broker_url").read_text()

    own = url()
    assert url(DURABLE_DELAY="true") == ""
    theirs = "redis://:pw@cache.example:6379/0"
    assert url(DURABLE_DELAY="true", CELERY_BROKER_URL=theirs) == theirs
    assert url(DURABLE_DELAY="false") == own


def test_on_a_cluster_the_own_brokers_url_goes_and_comes_back(script: ModuleType) -> None:
    secrets: dict[str, dict[str, str]] = {"postgres": {}, "redis": {}, "app": {}}
    for name in ("postgres", "redis"):
        secrets[name] |= script.missing(name, secrets)

    def fill(*, broker_needed: bool) -> dict[str, str]:
        new = script.missing("app", secrets, broker_needed=broker_needed)
        secrets["app"] |= new
        return dict(new)

    own = fill(broker_needed=True)["celery_broker_url"]
    assert fill(broker_needed=False) == {"celery_broker_url": ""}
    assert fill(broker_needed=False) == {}
    assert fill(broker_needed=True) == {"celery_broker_url": own}
    secrets["app"]["celery_broker_url"] = "redis://:pw@cache.example:6379/0"
    assert fill(broker_needed=False) == fill(broker_needed=True) == {}


def test_on_a_cluster_a_database_elsewhere_takes_the_own_ones_urls_away(script: ModuleType) -> None:
    secrets: dict[str, dict[str, str]] = {"postgres": {}, "redis": {}, "app": {}}
    for name in secrets:
        secrets[name] |= script.missing(name, secrets)
    mine = secrets["app"]["owner_database_url"]
    assert "//proj:" in mine
    secrets["app"]["database_url"] = "postgresql://me:pw@db.example/x"
    gone = {"owner_database_url": "", "backup_database_url": ""}
    assert script.missing("app", secrets) == gone
    secrets["app"] |= {**gone, "owner_database_url": "postgresql://boss:pw@db.example/x"}
    assert script.missing("app", secrets) == {}


def test_no_two_secrets_and_no_two_installations_are_alike(
    script: ModuleType, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    secret = {"postgres/password", "redis/password", "app/secret_key"}
    found = []
    for place in (folder, other):
        for part in FOLDERS:
            (place / part).mkdir(exist_ok=True)
        script.generate(place, {})
        found += [text for name, text in contents(place).items() if name in secret]

    assert len(set(found)) == 6
    assert min(map(len, found)) >= 40


def test_a_second_start_changes_nothing(script: ModuleType, folder: Path) -> None:
    script.generate(folder, {})
    before = contents(folder)

    script.generate(folder, {"SECRET_KEY": ""})

    assert contents(folder) == before


def test_what_a_person_sets_wins_and_taking_it_back_brings_the_first_secrets_back(
    script: ModuleType, folder: Path
) -> None:
    script.generate(folder, {})
    before = contents(folder)
    mine = {"SECRET_KEY": "my own $key# " * 4, "DATABASE_URL": "postgresql://me:pw@db.example/x"}

    assert script.generate(folder, mine) == ["SECRET_KEY", "DATABASE_URL"]
    changed = contents(folder)
    assert changed["app/secret_key"] == mine["SECRET_KEY"]
    assert changed["app/database_url"] == mine["DATABASE_URL"]
    assert changed["app/celery_broker_url"] == before["app/celery_broker_url"]
    assert changed["postgres/password"] == before["postgres/password"]

    script.generate(folder, {})
    assert contents(folder) == before


def test_the_key_before_a_rotation_stays_a_fallback(script: ModuleType, folder: Path) -> None:
    script.generate(folder, {})
    app = folder / "app"
    old = (app / "secret_key").read_text()
    (app / "generated_secret_key").rename(app / "previous_secret_key")

    for _ in range(2):
        script.generate(folder, {})
        assert (app / "secret_key_fallbacks").read_text() == old
        assert (app / "secret_key").read_text() not in {old, ""}


def test_a_start_that_was_killed_leaves_no_half_file(script: ModuleType, folder: Path) -> None:
    """A password is complete or absent: a draft of an earlier process is not taken for one."""
    (folder / "postgres" / ".password.1").write_text("hal")

    script.generate(folder, {})

    assert len(contents(folder)["postgres/password"]) >= 40


def test_a_password_that_another_start_wrote_meanwhile_is_kept(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = folder / "postgres" / "password"

    def slow(size: int) -> str:
        password.write_text("the faster one's")
        return "the slower one's"

    monkeypatch.setattr(script.secrets, "token_urlsafe", slow)

    assert script.once(password) == "the faster one's"
    assert [p.name for p in password.parent.iterdir()] == ["password"]


def test_only_the_owner_and_the_group_can_read(script: ModuleType, folder: Path) -> None:
    script.generate(folder, {})

    modes = {stat.S_IMODE(p.stat().st_mode) for p in folder.rglob("*") if p.is_file()}
    assert modes == {0o440}


def test_a_folder_that_cannot_be_written_is_named(script: ModuleType, tmp_path: Path) -> None:
    message = script.main([str(tmp_path / "nowhere")])
    assert "generate-secrets:" in message
    assert "nowhere/postgres" in message


@pytest.mark.parametrize(
    ("name", "seen"),
    [("DATABASE_URL", "POSTGRES_ELSEWHERE"), ("CELERY_BROKER_URL", "REDIS_ELSEWHERE")],
)
def test_a_url_that_only_the_shell_holds_is_refused_with_what_to_type(
    script: ModuleType, name: str, seen: str
) -> None:
    complaint = script.only_in_the_shell({seen: "true"})
    assert complaint.startswith(f"{name} is set in your shell and not in .env: ")
    assert complaint.endswith(f"Put it into .env, or type: unset {name}")
    assert script.only_in_the_shell({seen: "true", name: "x://y"}) == ""
    assert script.only_in_the_shell({seen: ""}) == ""


def test_a_server_beside_the_data_of_another_version_is_refused_with_what_to_do(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets := folder / "secrets").mkdir()

    def said(version: str, **env: str) -> str:
        monkeypatch.setenv("POSTGRES_IMAGE", f"postgres:{version}")
        monkeypatch.setenv("POSTGRES_ELSEWHERE", env.get("elsewhere", ""))
        return str(script.main([str(secrets)])).partition(":")[0]

    nothing = said("19")  # no volume yet, and no folders for secrets
    assert nothing == "generate-secrets"
    (data := folder / "postgres-data" / "18").mkdir(parents=True)
    assert said("19") == nothing, "an empty folder is no data"
    (data / "docker").mkdir()
    (folder / "postgres-data" / "17" / "kept").mkdir(parents=True)  # what an upgrade left
    refused = "POSTGRES_VERSION is {}, and the volume postgres-data holds the data of PostgreSQL 18"
    assert said("19.1") == refused.format("19.1")
    assert said("17") == refused.format("17")
    assert said("18.6") == said("18-trixie") == said("19", elsewhere="true") == nothing
    assert contents(secrets) == {}
    complaint = script.other_version({"POSTGRES_IMAGE": "postgres:19"}, data.parent)
    assert "write POSTGRES_VERSION=18 into .env" in complaint
    assert "`make upgrade-postgres TO=19`" in complaint


def test_a_stack_that_is_durable_in_the_shell_alone_is_refused(script: ModuleType) -> None:
    seen = {"COMPOSE_DURABLE_DELAY": "true"}
    assert "DURABLE_DELAY=true is set in your shell" in script.only_in_the_shell(seen)
    assert script.only_in_the_shell({**seen, "DURABLE_DELAY": "true"}) == ""
    assert script.only_in_the_shell({**seen, "CELERY_BROKER_URL": "redis://x"}) == ""


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "EMAIL_URL", "METRICS_TOKEN"])
def test_a_file_of_the_host_is_refused_with_what_to_do_and_nothing_is_generated(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"{name}_FILE", "/home/me/secret")

    assert script.main([str(folder)]) == (
        f"{name}_FILE=/home/me/secret: compose can't see files of this machine; put the value "
        f"itself into .env, as {name}=..., and take this line out"
    )
    assert contents(folder) == {}
