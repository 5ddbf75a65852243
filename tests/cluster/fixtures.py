"""What the cluster tests stand on: a cluster that is given, the image on its nodes, one stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..chaos.runner import Outcome
from ..containers import without
from . import nodes, table
from .images import two_versions
from .kubectl import Kubectl
from .stack import Stack

#: The page that what was measured is written to; then every event runs, and compose's too.
PAGE = os.environ.get("CLUSTER_PAGE", "")

#: Beside those of prod: what is true without TLS and the archive is true with them.
MORE = ("archive", "tls")


def need_cluster() -> Kubectl:
    """Return kubectl for the cluster of $KUBECONFIG; skip unless it is one that may be broken."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if not kubeconfig:
        without("KUBECONFIG names no cluster (`make test-k8s` brings one up)")
    if not shutil.which("kubectl"):
        without("kubectl is not installed")
    kubectl = Kubectl(kubeconfig, "default")
    status, told = kubectl.status("get", "--raw=/readyz", timeout=30)
    if status:
        without(f"the cluster of KUBECONFIG={kubeconfig} does not answer: {told.strip()}")
    if not nodes.is_kind(kubectl):
        without(
            f"the cluster of KUBECONFIG={kubeconfig} was not made by kind:"
            " these tests stop nodes, and load images without a registry"
        )
    return kubectl


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """Return kubectl for the cluster of $KUBECONFIG."""
    return need_cluster()


@pytest.fixture(scope="session")
def cluster_images(cluster: Kubectl, image: str) -> Iterator[tuple[str, str]]:
    """Return two versions of the image with the probe, which every node has."""
    with two_versions(cluster, image) as tags:
        yield tags


@pytest.fixture(scope="session")
def cluster_stack(
    cluster: Kubectl, cluster_images: tuple[str, str], measured: Measured
) -> Iterator[Stack]:
    """Start prod once for all tests; a test that breaks something mends it."""
    with Stack(cluster.kubeconfig, cluster_images, MORE) as stack:
        measured.facts = stack.facts()
        yield stack


@dataclass
class Measured:
    """What was measured: where, and what came of it; and the versions of what it ran on."""

    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, outcome: Outcome) -> None:
        """Show a row, and write it to the page, if there is one, at once."""
        self.outcomes.append((place, outcome))
        print(" | ".join(table.cells(place, outcome)), *outcome.notes, sep="\n  ")
        if PAGE:
            table.write(Path(PAGE), self.outcomes, self.facts)


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Return what was measured so far."""
    return Measured()
