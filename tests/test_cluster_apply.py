"""deploy/overlays/prod on a real cluster, from nothing, and once more."""

from __future__ import annotations

import pytest

from .chaos.runner import Outcome
from .cluster.fixtures import Measured
from .cluster.kubectl import is_ready, restarts
from .cluster.stack import Stack
from .cluster.table import APPLIED

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

#: Two lines, each True where a store refuses what web sends it without TLS.
PLAIN = """
import os, psycopg, redis
from pathlib import Path
url = Path(os.environ["DATABASE_URL_FILE"]).read_text()
try: psycopg.connect(url.partition("?")[0] + "?sslmode=disable")
except psycopg.OperationalError as error: print("no encryption" in str(error))
broker = Path(os.environ["CELERY_BROKER_URL_FILE"]).read_text()
try: redis.from_url(broker.replace("rediss://", "redis://").partition("?")[0]).ping()
except redis.ConnectionError: print(True)
"""


def test_one_apply_takes_a_cluster_from_nothing_to_ready(
    cluster_stack: Stack, measured: Measured
) -> None:
    assert cluster_stack.not_healthy() == []
    assert cluster_stack.is_ready()
    outcome = Outcome(APPLIED, "`kubectl apply -k`, from nothing until everything is ready")
    outcome.recovery = cluster_stack.seconds
    measured.add("cluster", outcome)


def test_nothing_fails_on_the_way_to_ready(cluster_stack: Stack) -> None:
    pods = [pod for pod in cluster_stack.kubectl.pods() if is_ready(pod)]
    assert pods
    assert {pod["metadata"]["name"]: restarts(pod) for pod in pods if restarts(pod)} == {}


def test_the_namespace_enforces_restricted(cluster_stack: Stack) -> None:
    space = cluster_stack.kubectl.one("namespace", cluster_stack.kubectl.namespace)
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_with_tls_no_store_takes_a_connection_without_it(cluster_stack: Stack) -> None:
    kinds = cluster_stack.sql("SELECT DISTINCT type FROM pg_hba_file_rules ORDER BY 1")
    assert kinds == [["hostssl"], ["local"]]
    assert cluster_stack.manage(PLAIN).split() == ["True"] * 2
