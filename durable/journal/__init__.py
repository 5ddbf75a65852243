"""The journal: one entry for each task that has ended, written by the statement that ends it.

- ``entry.py``: the entry of an end, as a part of that statement
- ``lines.py``: the log lines of each attempt, beside the entry
- ``periodic.py``: the last runs of each periodic task, and those that were missed
- ``redaction.py``: arguments that are not kept, by their names
- ``minutes.py``: counts and times per minute, task and queue, made of the entries
- ``totals.py``, ``metrics.py``: counters and histograms of `/metrics`, made of those
- ``keep.py``: drops what is older than ``HISTORY_DAYS``
"""
