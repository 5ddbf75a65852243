"""Every statement that changes rows; beside these, places.py and overview.py name their table.

Plain SQL: each statement is atomic in itself, this is the path of every task, and what a state is
stands in its predicate (states.py). Statements that wait for the locks of several rows take them in
the order of their ids, so that two never wait for each other in a circle; the others skip what is
locked.

- ``call.py``: a call becomes a row
- ``claim.py``: a worker takes rows in hand
- ``attempt.py``: an attempt begins and ends
- ``idle.py``: rows that no worker has in hand
- ``workers.py``: signs of life, and orders
- ``parts.py``: what they share
"""

from .attempt import *  # noqa: F403
from .call import *  # noqa: F403
from .claim import *  # noqa: F403
from .idle import *  # noqa: F403
from .parts import *  # noqa: F403
from .workers import *  # noqa: F403
