"""The tools of the first day: a debugger in the roles, the toolbar in the pages, the editor's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.fixtures_worker import StartRole, free_port, wait_for

ROOT = Path(settings.BASE_DIR)


def initialized(port: int) -> str:
    """Return what a debugger's adapter answers an editor (Debug Adapter Protocol)."""
    ask = json.dumps({"seq": 1, "type": "request", "command": "initialize",
                      "arguments": {"adapterID": "test"}})  # fmt: skip
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as editor:
            editor.sendall(f"Content-Length: {len(ask)}\r\n\r\n{ask}".encode())
            said = b""
            while b'"command": "initialize"' not in said and (more := editor.recv(4096)):
                said += more
            return said.decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["web", "worker"])
def test_an_editor_can_attach_to_a_role_which_works_meanwhile(
    role: str, start_role: StartRole
) -> None:
    port = free_port()
    debugged = start_role(
        role, DEBUG_ROLE=role, DEBUG_ADDRESS=f"127.0.0.1:{port}",
        WEB_BIND=f"127.0.0.1:{free_port()}", WEB_CONCURRENCY="1", CELERY_WORKER_CONCURRENCY="1",
    )  # fmt: skip
    said = wait_for(lambda: initialized(port), "the debugger answers")
    assert '"success": true' in said
    if role == "web":
        debugged.wait_for_line("Listening at")
    debugged.process.kill()  # its supervisor waits for three seconds (deploy/compose/debug)


SHOW = """
import django; django.setup()
from django.test import Client
page = Client().get("/admin/login/")
print(page.status_code, "djDebug" in page.content.decode(), page.headers["Content-Security-Policy"])
print(Client().get("/api/docs").status_code)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("debug", ["true", "false"])
def test_the_toolbar_is_in_the_pages_of_development_alone(debug: str) -> None:
    env = {**os.environ, "DEBUG": debug, "ALLOWED_HOSTS": "testserver"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"200 {debug == 'true'} ")
    assert "default-src 'self'" in done.stdout


def test_what_the_editors_files_name_is_there() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / container["postCreateCommand"].split()[1]).is_file()
    launch = json.loads((ROOT / ".vscode" / "launch.json").read_text())["configurations"]
    for each in launch:
        role, port = each["name"].split()[0], str(each["connect"]["port"])
        assert port in (ROOT / "deploy" / "compose" / "debug" / f"{role}.yaml").read_text()


def test_the_page_for_agents_has_at_most_twenty_five_lines() -> None:
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) <= 25
