"""The plugin of pytest: the fixture ``tasks``.

From a wheel pytest finds it by itself; in a clone, ``conftest.py`` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads this module before Django is set up
    from .tasks import Tasks


@pytest.fixture
def tasks(db: None) -> Iterator[Tasks]:
    """Give what was called in this test, and its run."""
    from .tasks import Tasks

    with Tasks() as found:
        yield found
