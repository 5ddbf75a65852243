"""PostgreSQL's next major version, and the way back, by one verb and under load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .containers import Stack, run, wait_until
from .test_container_backup import load
from .users import USERS

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

#: The users that the load has made, the tasks that have ended since, and how many different ones.
DONE = USERS + (
    "from durable.journal.models import Entry\n"
    "made = User.objects.filter(username__startswith='upgrade-')\n"
    "since = made.order_by('date_joined')[0].date_joined\n"
    "ended = Entry.objects.filter(task='proj.celery.debug_task', called_at__gte=since)\n"
    "print(made.count(), ended.count(), ended.values('task_id').distinct().count())"
)


#: What restores of other tests have left beside the database: the verb refuses to leave it behind.
DROP_COPIES = (
    r"SELECT format('DROP DATABASE %I', datname) FROM pg_database "
    r"WHERE datname LIKE 'proj\_before\_%' \gexec"
)


@pytest.fixture
def newer() -> Iterator[str]:
    """An image of another major version: the same programs, under another number."""
    file = "FROM postgres:18\nENV PG_MAJOR=99 PGDATA=/var/lib/postgresql/99/docker\n"
    run("docker", "build", "--quiet", "--tag", "postgres:99", "-", input=file)
    yield "99"
    run("docker", "image", "rm", "--force", "postgres:99", check=False)


def upgrade(stack: Stack, *words: str) -> str:
    return stack.run("make", "--no-print-directory", "upgrade-postgres", *words).stdout


def refused(stack: Stack, *words: str) -> str:
    done = stack.run("make", "upgrade-postgres", *words, check=False)
    assert done.returncode
    return done.stderr


def test_postgres_moves_to_another_version_and_back_and_no_task_is_lost(
    stack: Stack, newer: str
) -> None:
    settings = stack.folder / ".env"
    before = settings.read_text() if settings.exists() else ""
    psql = ("exec", "-T", "postgres", "psql", "-qX", "--username=postgres")
    stack.compose(*psql, input=DROP_COPIES)
    assert "expected a version of the image postgres" in refused(stack, "TO=new")
    assert "no data of 17 are kept here" in refused(stack, "TO=17")
    assert "there is no image postgres:98" in refused(stack, "TO=98")
    try:
        # By hand, a server without data would take the place of the one that has them.
        running = stack.ids()
        settings.write_text(f"{before}POSTGRES_VERSION={newer}\n")
        done = stack.run("deploy/compose/up", check=False)
        assert (done.returncode, stack.ids()) == (1, running)
        refusal = (
            "POSTGRES_VERSION is 99, and the volume postgres-data holds the data of PostgreSQL 18"
        )
        assert refusal in done.stdout + done.stderr
        assert "write POSTGRES_VERSION=18 there" in refused(stack, f"TO={newer}")
        settings.write_text(before)

        with load(stack, "upgrade"):
            said = upgrade(stack, f"TO={newer}")
        assert ": proven" in said
        assert "POSTGRES_VERSION=99" in settings.read_text()
        made, ended, different = wait_until(lambda: all_done(stack), "all tasks have ended")
        assert made == ended == different
        stack.manage(USERS + "User.objects.create(username='of 99')")

        assert "make upgrade-postgres TO=18 FORCE=1" in refused(stack, "TO=18")
        upgrade(stack, "TO=18", "FORCE=1")
        there = "print(User.objects.filter(username='of 99').count(), User.objects.count() >= {})"
        assert stack.manage(USERS + there.format(made)) == "0 True"
        assert "are deleted" in upgrade(stack, "FORGET=99")
        assert stack.compose("exec", "-T", "postgres", "ls", "/var/lib/postgresql").stdout == "18\n"
    finally:
        settings.write_text(before)


def all_done(stack: Stack) -> tuple[int, ...] | None:
    made, ended, different = map(int, stack.manage(DONE).split())
    return (made, ended, different) if made <= ended else None
