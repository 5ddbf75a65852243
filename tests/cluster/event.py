"""What an event on the cluster is: a fault of the suite, on a stack of this package."""

from __future__ import annotations

from typing import TypeAlias

from ..chaos.fault import FaultOn, SceneOn
from .stack import Stack

Scene: TypeAlias = SceneOn[Stack]
Event: TypeAlias = FaultOn[Stack]

#: Requests for a page per second, beside those that enqueue: gaps of a moment must be seen.
PAGES = 10.0
