"""The settings of this app: ``OPS_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

OPS = Declared(
    "OPS",
    # The console shows, and changes nothing.
    READ_ONLY=Setting(False),
    # The proxy in front of web, where web reaches it: the first one that answers counts.
    PROXY=Setting((), kind="web"),
)

get = OPS.get

#: Rows of a page.
PAGE = 50
#: Rows and entries that one page reads at most to find its own; then it offers to go on.
SCAN = 20_000
#: Rows that one transaction of a deed on many changes.
CHUNK = 200
