"""The journal: one entry for each task that has ended, written by the statement that ends it.

- ``entry.py``: the entry of an end, as a part of that statement
- ``redaction.py``: arguments that are not kept, by their names
- ``minutes.py``: counts and times per minute, task and queue, made of the entries
- ``totals.py``, ``metrics.py``: counters and histograms of `/metrics`, made of those
- ``keep.py``: drops what is older than ``HISTORY_DAYS``
"""
