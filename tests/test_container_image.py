"""The image: small, without anything to build or to attack with, and good for any user id."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .containers import inspect, run, wait_until

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

BASE = "python:3.13-slim"
#: What the image installs; the second is gone when the example is.
LOCKS = {
    name: path.read_text()
    for name in ("runtime", "example")
    if (path := Path(__file__).parent.parent / "requirements" / f"{name}.txt").exists()
}
MB = 1_000_000

#: Enough of an environment for code that asks no server.
SETTINGS = {
    "SECRET_KEY": "only-for-this-test-" + "x" * 40,
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
}

READ_ONLY = ("--read-only", "--tmpfs", "/tmp")  # noqa: S108


def options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]


def inside(image: str, *command: str, **settings: str) -> str:
    """Run *command* in a container as hardened as in compose; return its output."""
    return run(
        "docker", "run", "--rm", *READ_ONLY, "--cap-drop", "ALL",
        "--network", "none", *options(SETTINGS | settings), image, *command,
    ).stdout.strip()  # fmt: skip


def size(image: str) -> int:
    """Return the bytes of all files; those of layers depend on how an engine stores them."""
    script = "find / -xdev -type f -printf '%s\\n' | awk '{ sum += $1 } END { print sum }'"
    command = (
        "--rm",
        "--network",
        "none",
        "--user",
        "0",
        "--entrypoint",
        "sh",
        image,
        "-c",
        script,
    )
    return int(run("docker", "run", *command).stdout)


def test_no_program_gives_its_caller_another_users_rights(image: str) -> None:
    find = ("/", "-xdev", "-type", "f", "-perm", "/6000")
    command = ("docker", "run", "--rm", "--user", "0", "--entrypoint", "find", image, *find)
    assert run(*command).stdout == ""


def test_without_the_example_it_adds_less_than_120_mb_to_its_base(image: str) -> None:
    code = """
from importlib.metadata import files
print(sum(f.locate().stat().st_size for n in ('duckdb', 'fsspec') for f in files(n) if
          f.locate().exists()))
"""
    example = int(inside(image, "python", "-c", code)) if "example" in LOCKS else 0
    added = size(image) - size(BASE) - example
    # 15 of them carry backups to object storages (obstore), 13 are for traces and for Sentry.
    assert 0 < added < 120 * MB
    assert example < 75 * MB


def test_its_user_is_a_number_and_not_root(image: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", inspect(image)[0]["Config"]["User"])


@pytest.mark.parametrize("user", ["10001:10001", "4711:0", "4711:4711"])
def test_the_web_role_serves_as_any_user_with_a_read_only_root(image: str, user: str) -> None:
    container = run(
        "docker", "run", "--detach", "--user", user, *READ_ONLY,
        "--cap-drop", "ALL", "--network", "none", *options(SETTINGS), image, "web",
    ).stdout.strip()  # fmt: skip
    try:
        probe = ("docker", "exec", container, "docker/healthcheck", "web")
        wait_until(lambda: run(*probe, check=False).returncode == 0, "web answers")
        login = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/api/docs'))"
        assert "HTTPResponse" in run("docker", "exec", container, "python", "-c", login).stdout
        # Process 1 is the program, and the image's stop signal ends it in good order.
        run("docker", "stop", "--time", "120", container)
        assert inspect(container)[0]["State"]["ExitCode"] == 0
    finally:
        run("docker", "rm", "--force", container, check=False)


def test_there_is_no_compiler_no_pip_in_the_virtualenv_and_no_cache(image: str) -> None:
    script = """
        for tool in gcc cc g++ make ld; do command -v $tool; done
        python -m pip --version 2>/dev/null
        ls -d /root/.cache /opt/venv/bin/pip* 2>/dev/null
        find /opt/venv /app -name '*.po' -o -name '*.pyi' -o -name tests -o -name .git
        exit 0
    """
    assert inside(image, "sh", "-c", script) == ""


def test_it_holds_what_runs_and_nothing_else(image: str) -> None:
    found = inside(image, "sh", "-c", "ls /app /app/deploy /app/docker | sed 's/^.*:$//'")
    assert set(found.split()) == {
        *("__pycache__", "apps", "deploy", "docker", "durable", "manage.py", "proj", "staticfiles"),
        *("backup", "compose", "postgres"),
        *("drain", "entrypoint.sh", "generate-secrets", "gunicorn.conf.py", "healthcheck"),
        *("keda_addresses.py", "kubernetes_secrets.py", "publish-static", "sbom"),
    }


def test_its_bill_of_materials_names_each_package_with_its_license(image: str) -> None:
    bill = json.loads(inside(image, "docker/sbom"))
    parts = bill["components"]
    kinds = {
        kind: sum(f"pkg:{kind}/" in each["purl"] for each in parts) for kind in ("pypi", "deb")
    }
    assert kinds["pypi"] > 30
    assert kinds["deb"] > 70
    # A base image may come without Debian's files of copyrights.
    python = [each for each in parts if each["purl"].startswith("pkg:pypi/")]
    assert [each["name"] for each in python if not each.get("licenses")] == []


def test_its_packages_are_those_of_the_lock(image: str) -> None:
    code = """
from importlib.metadata import distributions
print(*(f'{found.name}=={found.version}' for found in distributions()))
"""
    installed = {
        name.lower().replace("_", "-") for name in inside(image, "python", "-c", code).split()
    }
    lock = "\n".join(LOCKS.values())
    locked = {pin.lower() for pin in re.findall(r"^[\w.-]+==[^ ;\\]+", lock, re.MULTILINE)}
    assert installed <= locked
    # Needed at build alone, and on an older Python.
    missing = {pin.partition("==")[0] for pin in locked - installed}
    assert missing == {"brotli", "async-timeout"}


def test_all_of_its_python_is_compiled(image: str) -> None:
    code = """
import importlib.util, pathlib
for root in ('/opt/venv/lib', '/app'):
    for path in pathlib.Path(root).rglob('*.py'):
        if not pathlib.Path(importlib.util.cache_from_source(str(path))).exists():
            print(path)
"""
    assert inside(image, "python", "-c", code) == ""


def test_translations_are_in_it(image: str) -> None:
    code = """
from django.utils.translation import override, gettext
with override('de'): print(gettext('Log in'))
"""
    assert inside(image, "python", "manage.py", "shell", "--no-imports", "-c", code) == "Anmelden"


def test_static_files_have_hashed_names_and_compressed_copies(image: str) -> None:
    manifest = json.loads(inside(image, "cat", "staticfiles/staticfiles.json"))["paths"]
    files = set(inside(image, "find", "staticfiles", "-type", "f", "-printf", "%P\n").split())

    assert {"admin/css/base.css", "ninja/swagger-ui-bundle.js", "proj/app.css"} <= manifest.keys()
    for hashed in manifest.values():
        assert re.search(r"\.[0-9a-f]{12}(\.|$)", hashed), hashed
    for name in ("admin/css/base.css", "ninja/swagger-ui-bundle.js", "proj/app.css"):
        hashed = manifest[name]
        assert {hashed, f"{hashed}.br", f"{hashed}.gz"} <= files
        assert name not in files


def test_it_says_what_it_is(image: str) -> None:
    labels = inspect(image)[0]["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == "1.2.3"
    assert labels[f"{prefix}revision"] == "abc123"
    assert {f"{prefix}{name}" for name in ("title", "description", "source", "created")} <= set(
        labels
    )


def test_no_secret_is_in_its_settings_or_its_history(image: str) -> None:
    history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    for text in (history, *inspect(image)[0]["Config"]["Env"]):
        assert not re.search(r"SECRET_KEY=|PASSWORD=|DATABASE_URL=|BROKER_URL=", text)


@pytest.mark.parametrize(
    ("role", "settings", "message"),
    [
        ("web", {"SECRET_KEY": ""}, "SECRET_KEY is not set: "),
        ("web", {"WEB_THREADS": "many"}, "WEB_THREADS='many': expected a whole number"),
        ("web", {"WEB_CONCURRENCY": "two"}, "WEB_CONCURRENCY='two': expected a whole number"),
        ("worker", {"CELERY_TASK_TIME_LIMIT": "5m"}, "CELERY_TASK_TIME_LIMIT='5m': expected"),
        ("worker", {"CELERY_TASK_TIMELIMIT": "5"}, "CELERY_TASK_TIMELIMIT"),
        ("beat", {"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL=(not shown, it may hold"),
        ("migrate", {"DATABASE_URL_FILE": "/no"}, "DATABASE_URL_FILE='/no': can't be read"),
    ],
)
def test_a_wrong_value_ends_the_container_with_one_line_that_names_it(
    image: str, role: str, settings: dict[str, str], message: str
) -> None:
    done = run("docker", "run", "--rm", *options(SETTINGS | settings), image, role, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(lines) == 1
    assert lines[0].startswith(message)
