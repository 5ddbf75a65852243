"""The fault suite: breaks the compose stack under load, in every way of ``faults/``, and counts.

    make chaos                      every fault alone            make chaos FAULT=redis-emptied
    make chaos SEED=7 MINUTES=10    at random, one after another make chaos BASELINE=1
    make chaos BATCH=100            workers that run batches

``stack.yaml`` adds to compose.yaml what is counted: an HTTP endpoint that enqueues, and tasks that
append one row for each real execution to a table without a unique constraint (``probe/``). The
production image holds none of it; the files are mounted.
"""
