"""Which addresses the network policies let through, whatever a cluster gives to its pods."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from .manifests import Object, objects, one

PRIVATE = ["10.1.2.3", "100.64.1.1", "172.20.0.5", "192.168.7.7", "fd12:3456::5"]


def contains(block: Object, address: str) -> bool:
    """Return whether an ipBlock has *address*."""
    there = ip_address(address) in ip_network(block["cidr"])
    return there and not any(ip_address(address) in ip_network(e) for e in block.get("except", ()))


def lets_out(policy: Object, port: int, *, protocol: str = "TCP", **to: str) -> bool:
    """Return whether *policy* lets its pods send to an ``address``, or to a ``namespace``."""

    def is_meant(peer: Object) -> bool:
        if "ipBlock" in peer:
            return "address" in to and contains(peer["ipBlock"], to["address"])
        spaces = peer.get("namespaceSelector", {}).get("matchExpressions", [])
        return any(to.get("namespace") in each["values"] for each in spaces)

    return any(
        {"port": port, "protocol": protocol}
        in [{"protocol": "TCP", **each} for each in rule["ports"]]
        and any(map(is_meant, rule["to"]))
        for rule in policy["spec"]["egress"]
    )


@pytest.fixture
def policy(rendered: dict[str, Path]) -> Any:
    """Return what finds a policy by its name, with every component that has one."""
    found = objects(rendered["managed"])
    return lambda name: one(found, "NetworkPolicy", name)


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
@pytest.mark.parametrize(
    ("port", "to"),
    [
        (53, {"namespace": "kube-system"}),
        (5353, {"namespace": "openshift-dns"}),
        (53, {"address": "169.254.20.10"}),  # NodeLocal DNSCache
        (53, {"address": "169.254.169.254"}),  # Cloud DNS for GKE
        # It takes what goes to the Service, too: no pod's address is seen then.
        *((53, {"address": address}) for address in (*PRIVATE, "34.118.224.10")),
    ],
)
def test_names_are_asked_of_whatever_answers_in_a_cluster(
    policy: Any, port: int, to: dict[str, str], protocol: str
) -> None:
    assert lets_out(policy("dns"), port, protocol=protocol, **to)


@pytest.mark.parametrize(
    ("port", "to"),
    [
        (53, {"address": "8.8.8.8"}),
        (53, {"address": "2001:4860:4860::8888"}),
        (443, {"namespace": "kube-system"}),
        (80, {"address": "169.254.169.254"}),
    ],
)
def test_and_of_nothing_else(policy: Any, port: int, to: dict[str, str]) -> None:
    assert not lets_out(policy("dns"), port, **to)


@pytest.mark.parametrize("port", [5432, 6379])
def test_stores_elsewhere_are_reached_at_private_addresses_by_a_component_alone(
    policy: Any, port: int
) -> None:
    managed = policy("managed-stores")
    assert all(lets_out(managed, port, address=address) for address in PRIVATE)
    for public in ("8.8.8.8", "2001:db8::1", "169.254.169.254"):
        assert not lets_out(managed, port, address=public)
    for name in ("roles", "backup"):
        assert not any(lets_out(policy(name), port, address=address) for address in PRIVATE)


def test_web_is_asked_from_where_proxies_are_and_from_nowhere_else(policy: Any) -> None:
    (rule,) = policy("web")["spec"]["ingress"]
    assert all({"namespaceSelector", "podSelector"} & peer.keys() for peer in rule["from"])
    (spaces,) = [
        each["values"]
        for peer in rule["from"]
        for each in peer.get("namespaceSelector", {}).get("matchExpressions", [])
    ]
    assert {"ingress-nginx", "traefik", "istio-system", "monitoring"} <= set(spaces)
    assert "default" not in spaces


def test_mail_goes_out_by_both_families_and_nothing_to_private_addresses_or_credentials(
    policy: Any,
) -> None:
    for public in ("192.0.2.1", "2001:db8::1"):
        assert lets_out(policy("egress"), 587, address=public)
    for credentials in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "fe80::1"):
        assert not lets_out(policy("egress"), 443, address=credentials)
    for private in PRIVATE:
        assert not lets_out(policy("egress"), 443, address=private)


@pytest.mark.parametrize("port", [443, 6443, 8443, 16443])
def test_the_api_server_is_reached_at_the_port_of_every_kind_of_cluster(
    policy: Any, port: int
) -> None:
    for name in ("secrets", "cloudnative-pg"):
        rules = policy(name)["spec"]["egress"]
        assert any({"port": port} in rule["ports"] for rule in rules if "to" not in rule)


@pytest.mark.parametrize("name", ["postgres", "redis", "cloudnative-pg"])
@pytest.mark.parametrize("space", ["keda", "kube-system", "openshift-keda"])
def test_the_autoscaler_gets_in_from_wherever_it_is_installed(
    policy: Any, name: str, space: str
) -> None:
    operator = {"podSelector": {"matchLabels": {"app": "keda-operator"}}}
    peers = [peer for rule in policy(name)["spec"]["ingress"] for peer in rule["from"]]
    (keda,) = [peer for peer in peers if operator.items() <= peer.items()]
    (space_in,) = keda["namespaceSelector"]["matchExpressions"]
    assert space_in["operator"] == "In"
    assert space in space_in["values"]
