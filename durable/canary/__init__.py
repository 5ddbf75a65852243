"""A canary for each queue: a task that does nothing, and shows whether tasks come to their end.

Beat calls it, a worker runs it, its commit is the answer: the whole way of a task, once a minute.
"""
