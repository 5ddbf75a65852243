"""One module for each peer: the two tasks, how they are called, and how its worker is set up.

Each has ``call(task, label)``, and ``call_many(task, labels)`` where the peer has a call for many;
``prepare()`` where it needs tables. ``SETTINGS`` names Django's settings, if they are not these
peers' own. They run in the environment of ``requirements/bench.txt``.
"""
