"""k8s/components/network-policy on a real cluster: what it allows passes, all else is refused.

Small pods with the labels of the product's roles listen on the ports of all of them, and each tries
to reach each. What a policy blocks is dropped, so "refused" means: no connection within seconds.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import pytest

from .cluster import flows
from .cluster.flows import Target
from .cluster.images import load
from .cluster.kubectl import Kubectl, name
from .test_manifests_egress import patches

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROLES = ("web", "worker", "beat", "postgres", "redis", "secrets", "backup", "archive")
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
    *((role, "postgres", POSTGRES) for role in ("web", "worker", "beat", "backup", "archive")),
    *((role, "redis", REDIS) for role in ("web", "worker", "beat")),
}
#: What the component network-stores adds: managed stores at a private address.
STORES: dict[str, set[int]] = {
    **{role: {POSTGRES, REDIS} for role in ("web", "worker", "beat", "backup", "archive")},
    **{role: set() for role in ("postgres", "redis", STRANGER)},
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
        if not self._found:
            self._found = self.try_each((*ROLES, STRANGER, OUTSIDE))
        return self._found[source]

    def try_each(self, sources: Iterable[str]) -> dict[str, set[Goal]]:
        """Return what each of *sources* reaches now; what is blocked takes all of them as long."""
        names = tuple(sources)
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(self.try_all, names), strict=True))

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


def test_another_namespace_reaches_nothing_and_a_proxys_reaches_web(place: Place) -> None:
    assert inside(place.passing(OUTSIDE)) == set()
    space = place.outside.namespace
    place.outside("label", "namespace", space, "proj/web=allow")
    try:

        def web_alone() -> bool:
            return inside(place.try_all(OUTSIDE)) == {("web", HTTP)}

        place.outside.wait(web_alone, "a namespace with the label reaches web and nothing else", 60)
    finally:
        place.outside("label", "namespace", space, "proj/web-")


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_each_pod_can_ask_for_names(place: Place, source: str) -> None:
    assert DNS in place.passing(source)


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_only_the_generator_of_secrets_reaches_the_api_server(place: Place, source: str) -> None:
    assert (API_SERVER in place.passing(source)) == (source == "secrets")


@pytest.mark.parametrize("source", [*ROLES, STRANGER])
def test_nothing_goes_out_of_the_namespace_but_the_generator_to_the_api_servers_port(
    place: Place, source: str
) -> None:
    assert outside(place.passing(source)) == ({HTTPS} if source == "secrets" else set())


def wait_for_ports(place: Place, wanted: dict[str, set[int]]) -> None:
    """Wait until each pod reaches these ports of the pod outside, and no others."""

    def as_wanted() -> bool:
        found = place.try_each(wanted)
        return {source: outside(goals) for source, goals in found.items()} == wanted

    place.inside.wait(as_wanted, f"of a pod outside these are reached: {wanted}", 60)


def test_managed_stores_are_one_component_more(place: Place) -> None:
    flows.apply_components(place.inside, "network-stores")
    try:
        wait_for_ports(place, STORES)
    finally:
        place.inside("delete", "networkpolicy", "managed-stores")


def test_mail_and_https_reach_a_private_address_once_it_is_named_from_workers_and_backups_alone(
    place: Place,
) -> None:
    """The pod outside has a private one, as all pods have; this cluster has no public one."""
    named = patches()[0].replace("10.1.2.3", place.addresses[OUTSIDE])
    flows.apply_components(place.inside, "network-egress", patch=named)
    try:
        wait_for_ports(place, {"worker": {HTTPS, MAIL}, "backup": {HTTPS, MAIL}, "web": set()})
        flows.apply_components(place.inside, "network-egress")
        wait_for_ports(place, {"worker": set(), "backup": set(), "web": set()})
    finally:
        place.inside("delete", "networkpolicy", "egress")
