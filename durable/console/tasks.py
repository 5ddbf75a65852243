"""A deed on many tasks, worked off by a durable task: no crash ends it, and it can be stopped."""

from __future__ import annotations

from celery import shared_task

from . import deeds


@shared_task(atomic=False, ignore_result=True, soft_time_limit=None, time_limit=None)
def work_off(deed_id: int) -> None:
    """Do the rest of a deed, some rows in each transaction (``Deed`` says how far it is)."""
    while deeds.step(deed_id):
        pass
