"""Dramatiq, with its Redis broker. It has no call for many."""

from __future__ import annotations

import os

import django
import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers import work

django.setup()
dramatiq.set_broker(RedisBroker(url=os.environ["CELERY_BROKER_URL"]))


@dramatiq.actor
def effect(label: int) -> None:
    """Write one row."""
    work.effect(label)


@dramatiq.actor
def nothing(label: int) -> None:
    """Do nothing."""
    work.nothing(label)


TASKS = {"effect": effect, "nothing": nothing}


def call(task: str, label: int) -> None:
    """Send one message."""
    TASKS[task].send(label)
