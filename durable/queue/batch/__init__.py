"""Batches: many small tasks share one statement to begin, one transaction, and one to end.

``WORKER_BATCH=100`` makes a worker of this kind: a supervisor and ``CELERY_WORKER_CONCURRENCY``
processes that serve rows only, without a broker and without pipes. What a task may rely on is the
same as on prefork: it runs by Celery's tracer, a savepoint holds what it writes, its row ends in
the transaction of its effects.

- ``supervisor.py``: the main process: signs of life, hard time limits, processes that die, the stop
- ``process.py``: one process: which rows run together, and which alone
- ``shared.py``: the transaction that tasks share, and an attempt within it
"""
