"""k8s/components/network-policy on a real cluster: what it allows passes, all else is refused.

Small pods with the labels of the product's roles listen on the ports of all of them, and each tries
to reach each. What a policy blocks is dropped, so "refused" means: no connection within seconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TypeAlias

import pytest

from .cluster import flows
from .cluster.flows import Target
from .cluster.images import load
from .cluster.kubectl import Kubectl, name

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROLES = ("web", "worker", "beat", "postgres", "redis", "secrets", "backup")
STRANGER = "stranger"  # a pod of the namespace that is none of the product's
OUTSIDE = "outside"  # a pod of another namespace, without policies
HTTP, POSTGRES, REDIS, HTTPS, MAIL = 8000, 5432, 6379, 443, 587
INSIDE_PORTS = (HTTP, POSTGRES, REDIS)
OUTSIDE_PORTS = (HTTP, POSTGRES, REDIS, HTTPS, MAIL)
API = Target("kubernetes.default.svc", 443)
NAMES = Target("kube-dns.kube-system.svc", 53)

#: A pod and a port, or one of the two that are none of these pods.
Goal: TypeAlias = tuple[str, int]
API_SERVER, DNS = ("the API server", 443), ("DNS", 53)

#: Every flow that passes within the namespace; what is not here is refused.
ALLOWED = {
    *((role, "postgres", POSTGRES) for role in ("web", "worker", "beat", "backup")),
    *((role, "redis", REDIS) for role in ("web", "worker", "beat")),
}


class Place:
    """Two namespaces with a pod for each role, one for a stranger, and one outside."""

    def __init__(self, cluster: Kubectl) -> None:
        own = f"proj-test-{secrets.token_hex(4)}"
        self.inside = Kubectl(cluster.kubeconfig, own)
        self.outside = Kubectl(cluster.kubeconfig, f"{own}-outside")
        self.addresses: dict[str, str] = {}
        self._found: dict[str, set[Goal]] = {}

    def start(self) -> None:
        """Start everything, wait until it listens."""
        spaces = (self.inside, self.outside)
        flows.create(self.inside, *(flows.namespace(space.namespace) for space in spaces))
        flows.apply_components(self.inside, "network-policy")
        pods = [flows.pod(role, role, INSIDE_PORTS) for role in ROLES]
        flows.create(self.inside, *pods, flows.pod(STRANGER, "", INSIDE_PORTS))
        flows.create(self.outside, flows.pod(OUTSIDE, "", OUTSIDE_PORTS))
        for space in spaces:
            space("wait", "--for=condition=Ready", "pod", "--all", "--timeout=180s")
            self.addresses |= {name(p): p["status"]["podIP"] for p in space.get("pods")}

    def remove(self) -> None:
        """Delete both namespaces."""
        spaces = (self.inside.namespace, self.outside.namespace)
        self.inside("delete", "namespace", *spaces, "--ignore-not-found", check=False)

    def passing(self, source: str) -> set[Goal]:
        """Return what *source* reaches of all there is, but for itself; tried once, all at once."""
        if source not in self._found:
            self._found[source] = self.try_all(source)
        return self._found[source]

    def try_all(self, source: str) -> set[Goal]:
        """Try it now."""
        goals: dict[Target, Goal] = {
            Target(self.addresses[pod], port): (pod, port)
            for pods, ports in (((*ROLES, STRANGER), INSIDE_PORTS), ((OUTSIDE,), OUTSIDE_PORTS))
            for pod in pods
            for port in ports
            if pod != source
        } | {API: API_SERVER, NAMES: DNS}
        space = self.outside if source == OUTSIDE else self.inside
        return {goals[target] for target in flows.passing(space, source, list(goals))}


@pytest.fixture(scope="module")
def place(cluster: Kubectl) -> Iterator[Place]:
    load(cluster, [flows.IMAGE])
    place = Place(cluster)
    try:
        place.start()
        yield place
    finally:
        place.remove()


def inside(goals: set[Goal]) -> set[Goal]:
    """Return what lies in the namespace of *goals*."""
    return {goal for goal in goals if goal[0] in ROLES or goal[0] == STRANGER}


def outside(goals: set[Goal]) -> set[int]:
    """Return the ports of the pod outside among *goals*."""
    return {port for name, port in goals if name == OUTSIDE}


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_each_pod_reaches_what_it_needs_and_nothing_else(place: Place, source: str) -> None:
    expected = {(to, port) for role, to, port in ALLOWED if role == source}
    assert inside(place.passing(source)) == expected


def test_everybody_reaches_web_and_nothing_but_web(place: Place) -> None:
    assert inside(place.passing(OUTSIDE)) == {("web", HTTP)}


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_each_pod_can_ask_for_names(place: Place, source: str) -> None:
    assert DNS in place.passing(source)


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_only_the_generator_of_secrets_reaches_the_api_server(place: Place, source: str) -> None:
    assert (API_SERVER in place.passing(source)) == (source == "secrets")


@pytest.mark.parametrize(
    ("source", "ports"),
    [
        # A managed database stands at a private address, as this pod does.
        ("web", {POSTGRES, REDIS}),
        ("worker", {POSTGRES, REDIS}),
        ("beat", {POSTGRES, REDIS}),
        ("backup", {POSTGRES}),
        ("secrets", {HTTPS}),
        ("postgres", set()),
        ("redis", set()),
        (STRANGER, set()),
    ],
)
def test_out_of_the_namespace_goes_what_managed_stores_need(
    place: Place, source: str, ports: set[int]
) -> None:
    assert outside(place.passing(source)) == ports


def test_mail_and_https_are_one_component_more_and_for_workers_and_backups_alone(
    place: Place,
) -> None:
    flows.apply_components(place.inside, "network-egress")
    try:
        wanted = {
            "worker": {POSTGRES, REDIS, HTTPS, MAIL},
            "backup": {POSTGRES, HTTPS, MAIL},
            "web": {POSTGRES, REDIS},
        }
        for source, ports in wanted.items():

            def as_wanted(source: str = source, ports: set[int] = ports) -> bool:
                return outside(place.try_all(source)) == ports

            place.inside.wait(as_wanted, f"{source} reaches {ports} of a pod outside", 60)
    finally:
        place.inside("delete", "networkpolicy", "egress")
