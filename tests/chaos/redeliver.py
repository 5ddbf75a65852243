"""Time passes: what Redis holds as unacknowledged is delivered once more.

Redis gives a message that was not acknowledged to another worker after the visibility timeout, a
quarter of an hour here and an hour by default. That takes too long, so this does what kombu
does then (``Channel._do_restore_message``), at once.
"""

from __future__ import annotations

import json

from .target import Target


def redeliver(stack: Target) -> int:
    """Put every unacknowledged message back into its queue; return how many there were."""
    tags = stack.redis("HKEYS", "unacked").split()
    for tag in tags:
        text = stack.redis("HGET", "unacked", tag)
        if not text:
            continue  # acknowledged meanwhile
        message, _exchange, queue = json.loads(text)
        message["headers"]["redelivered"] = True
        message["properties"]["delivery_info"]["redelivered"] = True
        stack.redis("RPUSH", queue, json.dumps(message))
        stack.redis("HDEL", "unacked", tag)
        stack.redis("ZREM", "unacked_index", tag)
    return len(tags)
