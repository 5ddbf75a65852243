"""``python3 -m deploy.k8s.scaling N --env=prod [--pool=reports]``."""

from __future__ import annotations

import argparse
import sys
import time

from ..cluster import ClusterError
from . import idle
from .cluster import Cluster, is_ready, name
from .ruler import ruler_of

#: More than that is a slip of the finger; a pool's maximum can be moved by hand.
MOST = 500


def number(text: str, least: int) -> int:
    """Return N.

    :raises ClusterError: it is no number of workers.
    """
    if not text.isdecimal():
        raise ClusterError(
            f"N='{text}': expected how many workers there shall be, as in: "
            "make scale-workers N=4 ENV=prod"
        )
    if int(text) < least:
        raise ClusterError(
            f"N={text}: expected 1 or more; without a worker tasks only wait, and no autoscaler "
            "would start one again"
        )
    if int(text) > MOST:
        raise ClusterError(f"N={text}: expected {MOST} at most")
    return int(text)


def pool_named(cluster: Cluster, pool: str) -> str:
    """Return the Deployment of *pool*.

    :raises ClusterError: there is none; it lists those that there are.
    """
    chosen = "--selector=app.kubernetes.io/component=worker"
    found = {
        d["metadata"].get("labels", {}).get("pool", ""): name(d)
        for d in cluster.get("deployments.apps", chosen)
    }
    if not found:
        raise ClusterError(
            f"no pool of workers in namespace {cluster.namespace}: start the stack first "
            f"(kubectl apply -k deploy/overlays/{cluster.env})"
        )
    if pool not in found:
        raise ClusterError(f"POOL='{pool}': there is no such pool; there is: {', '.join(found)}")
    return found[pool]


def wait_for(cluster: Cluster, pool: str, wanted: int, exactly: bool, seconds: float) -> int:
    """Wait until *wanted* workers of *pool* consume; return how many do.

    :param exactly: whether none may be left over; those on their way out don't count.
    :raises ClusterError: they don't, within *seconds*.
    """
    end = time.monotonic() + seconds
    while True:
        pods = cluster.pods(pool)
        ready = sum(map(is_ready, pods))
        if ready == wanted == len(pods) or (not exactly and ready >= wanted):
            return ready
        if time.monotonic() > end:
            raise ClusterError(
                f"{ready} of {wanted} workers consume after {seconds:g} s; why the others don't: "
                f"kubectl -n {cluster.namespace} describe pods -l pool={pool}"
            )
        time.sleep(1)


def by_ruler(cluster: Cluster, pool: str, deployment: str, text: str, seconds: float) -> str | None:
    """Move the minimum of what rules *deployment*; return what was done, or ``None``."""
    ruler = ruler_of(cluster, deployment)
    if not ruler:
        return None
    to_none = ruler.kind.startswith("scaledobjects")
    wanted = number(text, 0 if to_none else 1)
    least, most = ruler.move(cluster, wanted)
    said = f"{ruler.kind.partition('.')[0]}/{ruler.name}: at least {least} (was {ruler.least})"
    said += f", at most {most} (was {ruler.most})" if most != ruler.most else f", at most {most}"
    print(said, flush=True)
    if wanted <= ruler.least:
        return "the autoscaler removes workers when there is no work for them"
    ready = wait_for(cluster, pool, wanted, False, seconds)
    return f"{ready} workers of pool {pool} consume"


def by_hand(cluster: Cluster, pool: str, deployment: str, text: str, seconds: float) -> str:
    """Set the number of *deployment*; return what was done."""
    wanted = number(text, 1)
    before = len(cluster.pods(pool))
    if wanted < before:
        try:
            marked = idle.mark(cluster, pool)
            busy = sum(cost >= idle.RUNNING for cost in marked.values())
            print(f"{busy} of {before} workers are busy; idle ones go first", flush=True)
        except (ClusterError, ValueError, IndexError) as error:
            print(
                f"scale-workers: chance takes the first pod: {error}",
                file=sys.stderr,
            )
    cluster("scale", f"deployment/{deployment}", f"--replicas={wanted}")
    try:
        ready = wait_for(cluster, pool, wanted, True, seconds)
    finally:
        if wanted < before:
            idle.unmark(cluster, pool)
    return f"{ready} workers of pool {pool} consume ({before} before)"


def main(arguments: list[str]) -> str | int:
    """Run the command; the result is an error to show, or 0."""
    parser = argparse.ArgumentParser(prog="scale-workers", description=__doc__)
    parser.add_argument("n", metavar="N")
    parser.add_argument("--env", required=True, help="a folder of deploy/overlays")
    parser.add_argument("--pool", default="default")
    parser.add_argument("--timeout", type=float, default=300, help="seconds to wait")
    given = parser.parse_args(arguments)
    try:
        number(given.n, 0)
        cluster = Cluster(given.env)
        cluster.need()
        deployment = pool_named(cluster, given.pool)
        common = (cluster, given.pool, deployment, given.n, given.timeout)
        print(by_ruler(*common) or by_hand(*common))
    except ClusterError as error:
        return f"scale-workers: {error}"
    print("the next `kubectl apply -k` sets it back; to keep it, change it in the overlay")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
