"""A machine with systemd, as its README makes it: a new version, a useless one, the way back.

systemd is process 1 of a container; what runs there are the page's own commands.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .containers import ROOT, need_engine, run, wait_until
from .visitors import visitors

pytestmark = [pytest.mark.container, pytest.mark.timeout(2400)]

README = (ROOT / "deploy/systemd/README.md").read_text()
#: What a person types to make a machine run it.
[INSTALL] = re.findall(r"```sh\n(# 1\. .*?)```", README, re.DOTALL)
[PACKAGES] = re.findall(r"apt-get install --yes (.*)\n", INSTALL)
[BY_HAND] = re.findall(r"^by_hand\(\) .*", README, re.MULTILINE)
ROLES = ("proj-web", "proj-worker@1", "proj-beat")
#: Seconds that a visitor waits in the socket, for as long as web starts on a slow machine.
PATIENCE = 180.0
#: What a proxy with TLS adds.
HEADERS = {"Host": "example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
#: From the project's own base, whose pip knows the index. What a server has anyway comes first.
DOCKERFILE = """FROM python:3.13-slim-trixie
RUN apt-get update && apt-get install --yes --no-install-recommends \
systemd dbus {packages} && rm -rf /var/lib/apt/lists/*
"""
# Credentials reach a unit by a mount that is shared, as no container's is. And systemd wants
# the second version of cgroups: a group of its own, where the first has that place.
BOOT = """
mount --make-rshared /
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
  umount -R /sys/fs/cgroup && mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir /sys/fs/cgroup/"$1" && echo $$ >/sys/fs/cgroup/"$1"/cgroup.procs && umount /sys/fs/cgroup
  exec unshare --cgroup sh -ec 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec /lib/systemd/systemd'
fi
exec /lib/systemd/systemd
"""
#: Some tasks are due before a change of the release, some while it goes on.
TASKS = 30
CALL = f"""from durable.housekeeping.tasks import purge_seen
for number in range({TASKS}):
    print(purge_seen.apply_async_on_commit(countdown=number % 15))"""
ENDED = """from durable.journal.models import Entry
print(*Entry.objects.filter(task_id__in={ids}).values_list("state", flat=True))"""
PORT = "[Socket]\nListenStream=\nListenStream=0.0.0.0:8000\n"


class Machine:
    """A container with systemd, the project's repository, and what its README starts."""

    def __init__(self) -> None:
        self.name = f"proj-test-{secrets.token_hex(4)}"

    def boot(self) -> None:
        """Start systemd, and the servers by it."""
        dockerfile = DOCKERFILE.format(packages=PACKAGES)
        run("docker", "build", "--quiet", "--tag", self.name, "-", input=dockerfile, timeout=1200)
        run(
            "docker", "run", "--detach", "--name", self.name, "--hostname", self.name,
            "--privileged", "--cgroupns", "private", "--env", "container=docker",
            "--tmpfs", "/run", "--publish", "127.0.0.1::8000",
            self.name, "sh", "-ec", BOOT, "sh", self.name,
        )  # fmt: skip
        wait_until(lambda: self.sh("systemctl is-active multi-user.target"), "it has booted")

    def install(self, clone: Path) -> None:
        """Do what stands in the README."""
        published = run("docker", "port", self.name, "8000").stdout
        self.port = int(published.rpartition(":")[2])
        # Visitors come from outside.
        self.put("/etc/systemd/system/proj-web.socket.d/port.conf", PORT)
        run("docker", "cp", "--quiet", str(clone), f"{self.name}:/srv/proj")
        self.done("cd /srv/proj && git init --quiet")
        self.commit("first")
        # The image has the packages.
        script = INSTALL.replace(f"apt-get update && apt-get install --yes {PACKAGES}", "")
        self.done(script.replace("<your repository>", "/srv/proj"))

    def sh(self, script: str) -> str:
        """Return what a shell script prints; nothing if it fails."""
        done = self.tried(script)
        return "" if done.returncode else done.stdout.strip()

    def tried(self, script: str) -> CompletedProcess[str]:
        """Run a shell script as root, as a person does."""
        return run(
            "docker", "exec", "--interactive", "--env", "UP_PATIENCE=600", self.name,
            "bash", "-euo", "pipefail", input=script, check=False, timeout=1200,
        )  # fmt: skip

    def done(self, script: str) -> str:
        """Return what a shell script prints, which must succeed."""
        done = self.tried(script)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout.strip()

    def put(self, path: str, text: str) -> None:
        """Write a file, after what stands in it."""
        self.done(f"mkdir -p $(dirname {path}) && cat >>{path} <<'END'\n{text}END\n")

    def manage(self, code: str) -> str:
        """Return what Python *code* prints with Django set up, by the README's *By hand*."""
        shell = "by_hand --pipe docker/entrypoint.sh python manage.py shell --no-imports -c"
        return self.done(f"{BY_HAND}\n{shell} {shlex.quote(code)}")

    def commit(self, what: str) -> None:
        """Commit what has changed in the repository."""
        self.done(
            "cd /srv/proj && git add --all && git -c user.name=x -c user.email=x@example.org"
            f" commit --quiet --message={what}"
        )

    def verb(self, words: str) -> CompletedProcess[str]:
        """Type what stands in the README's *A new version*."""
        assert words in README
        return self.tried(f"cd /opt/proj/source && {words}")

    def release(self, link: str = "current") -> str:
        """Return the folder that a link names."""
        return self.done(f"readlink /opt/proj/{link}")

    def processes(self) -> dict[str, str]:
        """Return each role's process and the folder that it runs in."""
        show = (
            "p=$(systemctl show --property=MainPID --value {}) && echo $p $(readlink /proc/$p/cwd)"
        )
        return {role: self.done(show.format(role)) for role in ROLES}


@pytest.fixture(scope="module")
def machine(clone: Path) -> Iterator[Machine]:
    """Return a machine on which the first release runs."""
    need_engine()
    machine = Machine()
    try:
        machine.boot()
        machine.install(clone)
        yield machine
    finally:
        run("docker", "rm", "--force", "--volumes", machine.name, check=False)
        run("docker", "image", "rm", machine.name, check=False)


def runs(machine: Machine, release: str) -> None:
    """Wait until all roles of a release are healthy, and nothing else of it is there."""

    def healthy() -> bool:
        probes = (
            f"HEARTBEAT_DIR=/run/{unit} {release}/docker/healthcheck {probe}"
            for unit, probe in zip(ROLES, ("web readyz", "worker", "beat"), strict=True)
        )
        return bool(machine.sh(" && ".join(probes)))

    wait_until(healthy, f"{release} is healthy")
    assert machine.release() == release
    assert {line.split()[1] for line in machine.processes().values()} == {release}
    assert machine.sh("systemctl list-units --all --plain --no-legend 'next-*'") == ""
    assert machine.sh("ls /run/systemd/system") == ""


def test_a_new_version_and_the_way_back_fail_no_request(machine: Machine) -> None:
    first = machine.release()
    runs(machine, first)
    machine.put("/srv/proj/proj/urls.py", "# Another version.\n")
    machine.commit("second")
    ids: list[str] = []
    with visitors(machine.port, HEADERS, PATIENCE) as numbers:
        up = machine.verb("git pull && deploy/systemd/up")
        assert not up.returncode, up.stdout + up.stderr
        second = machine.release()
        assert (second != first, machine.release("before")) == (True, first)
        runs(machine, second)
        for there, back in ((second, first), (first, second)):
            before = machine.processes()
            ids += machine.manage(CALL).split()
            rollback = machine.verb("deploy/systemd/rollback")
            assert not rollback.returncode, rollback.stdout + rollback.stderr
            runs(machine, back)
            assert machine.release("before") == there
            assert before.items().isdisjoint(machine.processes().items())
    states: list[str] = []

    def ended() -> bool:
        states[:] = machine.manage(ENDED.format(ids=ids)).split()
        return len(states) >= len(ids)

    wait_until(ended, "all tasks have ended")
    assert states == ["SUCCESS"] * 2 * TASKS
    print(f"{sum(numbers.values())} requests during three changes of the release, 0 failed")


def test_what_cannot_serve_is_refused_with_its_last_lines_and_the_running_one_goes_on(
    machine: Machine,
) -> None:
    release = machine.release()
    before, folders = machine.processes(), machine.done("ls /opt/proj")
    machine.put("/srv/proj/proj/urls.py", 'raise RuntimeError("of no use")\n')
    machine.commit("broken")
    with visitors(machine.port, HEADERS, PATIENCE):
        up = machine.verb("git pull && deploy/systemd/up")
        assert up.returncode == 1, up.stdout + up.stderr
        assert "next-proj-web does not become healthy; its last lines" in up.stderr
        assert "    RuntimeError: of no use\n" in up.stderr
        assert "the running one was left alone" in up.stderr.splitlines()[-1]
        machine.put("/etc/proj/env", "WEB_CONCURRENCY=two\n")
        try:
            rollback = machine.verb("deploy/systemd/rollback")
        finally:
            machine.done("sed -i /^WEB_CONCURRENCY=/d /etc/proj/env")
        assert rollback.returncode == 1, rollback.stdout + rollback.stderr
        assert "    WEB_CONCURRENCY='two': expected a whole number" in rollback.stderr
        runs(machine, release)
    assert (machine.processes(), machine.done("ls /opt/proj")) == (before, folders)
