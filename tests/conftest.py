"""What several test files share."""

from pathlib import Path

import pytest

from .backups import backups
from .cable import broker, database
from .cluster.fixtures import PAGE
from .containers import clone, image, stack
from .flights import flights
from .local_stack import Checkout
from .manifests import rendered

__all__ = ["backups", "broker", "clone", "database", "flights", "image", "rendered", "stack"]

# Run by test_results_upstream.py, in a process of their own.
collect_ignore = ["upstream"]
if not PAGE:  # it measures, beside the cluster; the faults of compose have tests of their own
    collect_ignore.append("test_cluster_on_compose.py")


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """Give a copy of the project in which nothing was started yet."""
    return Checkout(tmp_path / "proj")
