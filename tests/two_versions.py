"""Tasks of two versions of a project: TEST_VERSION says which this process has."""

from __future__ import annotations

import os

from celery import shared_task

from tests.durable_tasks import write

if os.environ.get("TEST_VERSION") == "old":

    @shared_task(name="shop.charge")
    def charge(label: str) -> None:
        write(f"{label} by the old")

else:

    @shared_task(name="shop.charge")
    def charge(label: str, account: int = 0) -> None:
        write(f"{label} by the new")

    @shared_task(name="shop.refund")
    def refund(label: str) -> None:
        write(f"{label} by the new")
