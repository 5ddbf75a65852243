"""What several test files share."""

from .cable import broker, database
from .containers import clone, image, stack

__all__ = ["broker", "clone", "database", "image", "stack"]

# Run by test_results_upstream.py, in a process of their own.
collect_ignore = ["upstream"]
