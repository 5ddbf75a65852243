"""What a fault is, and what it can reach."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeAlias, TypeVar

from .load import Load
from .stack import Stack
from .target import Target

AnyStack = TypeVar("AnyStack", bound=Target)


@dataclass
class SceneOn(Generic[AnyStack]):
    """A stack under load, and the choices of this run."""

    stack: AnyStack
    load: Load
    random: random.Random
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    #: When the stack was whole again (``time.monotonic()``), if the fault sees it and its repair
    #: comes later.
    whole_at: float | None = None

    def wait(self, seconds: float) -> None:
        """Let a fault last."""
        time.sleep(seconds)


class FaultOn(Generic[AnyStack]):
    """Something that breaks, in three steps: what it needs, the break, and its repair.

    The load runs from before ``inject()`` until after ``heal()``.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    #: Seconds between the break and its repair.
    lasts: ClassVar[float] = 0.0
    #: Whether it can strike in the middle of others, in the soak.
    soak: ClassVar[bool] = True
    #: Whether it is one of the project's own verbs, which the documentation's settings don't have.
    verb: ClassVar[bool] = False
    #: Whether requests may fail by it.
    noticed: ClassVar[bool] = True
    #: Whether files are uploaded beside the other requests.
    uploads: ClassVar[bool] = False

    def prepare(self, scene: SceneOn[AnyStack]) -> None:
        """Set the scene, before the load."""

    def inject(self, scene: SceneOn[AnyStack]) -> None:
        """Break it."""
        raise NotImplementedError

    def heal(self, scene: SceneOn[AnyStack]) -> None:
        """Give back what was taken; what restarts by itself needs nothing."""


#: Those of compose.
Scene: TypeAlias = SceneOn[Stack]
Fault: TypeAlias = FaultOn[Stack]
