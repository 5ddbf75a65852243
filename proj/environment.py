"""The environment that the settings read: the process' own, and outside of containers files too."""

from __future__ import annotations

from pathlib import Path

from durable.environment.reader import Reader, load_env_files, parse_bool

BASE_DIR = Path(__file__).resolve().parent.parent

# Outside of containers the settings come from files, so that `make run` and a command typed by
# hand (`.venv/bin/celery -A proj inspect ping`) agree: what a person set, what `make run`
# generated, then what every deployment shares. An image holds none of them.
if Reader().get("READ_ENV_FILES", True, parse_bool, "true or false"):
    load_env_files(
        BASE_DIR / ".env", BASE_DIR / ".local" / "env", BASE_DIR / "k8s" / "base" / "app.env"
    )

env = Reader()
