"""Who can write to the broker, and to nothing else, stops no worker and changes no durable task."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from durable.queue import conf
from durable.queue.models import Task
from tests import durable_tasks as tasks
from tests.fixtures_durable import TASKS, all_done, client, send
from tests.fixtures_worker import StartRole, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "effect_table"),
    pytest.mark.timeout(600),
]


def message(body: Any = (["forged"], {}, {}), **changes: Any) -> str:
    """Return a message as kombu writes it to Redis, with *changes* to its headers."""
    headers = {
        "lang": "py", "task": tasks.effect.name, "id": "forged-id", "root_id": "forged-id",
        "parent_id": None, "group": None, "retries": 0, "timelimit": [None, None], "eta": None,
        "expires": None, "argsrepr": "('my card',)", "kwargsrepr": "{}", "origin": "stranger",
    }  # fmt: skip
    properties = {
        "correlation_id": "forged-id", "reply_to": "", "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "default"}, "priority": 0,
        "body_encoding": "base64", "delivery_tag": "forged-tag",
    }  # fmt: skip
    text = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps(
        {
            "body": text,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**headers, **changes},
            "properties": properties,
        }
    )


#: What can't be a task, each in its own way.
MALFORMED = {
    "no JSON": "{",
    "no object": "[]",
    "nothing in it": "{}",
    "headers that are none": message().replace('"headers": {', '"headers": [], "others": {'),
    "a task that is none": message(task=5),
    "a task that is unknown": message(task="os.system"),
    "no id": message(id=None),
    "an id that is an object": message(id={"a": 1}),
    "retries": message(retries="many"),
    "time limits": message(timelimit="long"),
    "an eta": message(eta="soon"),
    "an eta that is a number": message(eta=1e300),
    "an expiry": message(expires="late"),
    "a body": message(body=5),
    "arguments": message(body=[5, 5, 5]),
    "a stamp": message(stamps=5, stamped_headers=5),
    "pickle": message().replace("application/json", "application/x-python-serialize"),
    "an unknown type": message().replace("application/json", "application/x"),
    "an encoding": message().replace('"utf-8"', '"utf-99"'),
    "a compression": message(compression="application/x-bomb"),
}


def test_no_message_stops_a_worker_or_touches_a_durable_task(start_role: StartRole) -> None:
    (row,) = send(tasks.effect, ["of the row"])
    ticket = [Task.objects.get().pk, 1, "stranger"]
    forged = message(id=row.id), message(id=row.id, task=tasks.slow.name, **{conf.HEADER: ticket})
    client().lpush("default", *forged)
    worker = start_role("worker", **TASKS)
    wait_for(all_done, "the row has run")
    assert tasks.effects()["of the row"] == 1
    for what, text in MALFORMED.items():
        client().lpush("default", text)
        tasks.effect.delay(f"after: {what}")
    # The first that is missing says which message it was.
    everything = dict.fromkeys(["of the row", *(f"after: {what}" for what in MALFORMED)], 1)
    wait_for(lambda: everything.items() <= tasks.effects().items(), "a task runs after each")
    assert "was put aside" in worker.output()
    assert "my card" not in worker.output()
