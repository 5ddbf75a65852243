"""Helpers of tests: what was called, and its run without a broker and a worker (docs/tasks.md).

A project's tests alone import them. ``durable.testing.plugin`` is pytest's, and
``durable.testing.tasks.TasksMixin`` for Django's ``TestCase``.
"""
