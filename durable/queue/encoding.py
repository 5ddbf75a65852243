"""Whether this process can put any message into the form that the settings ask for."""

from __future__ import annotations

from celery import current_app
from kombu import compression, serialization


def impediment() -> str | None:
    """Return why no message at all can be encoded here, and what to change; ``None`` if one can.

    What a single row asks for (its own ``compression=``) is that row's matter.
    """
    conf = current_app.conf
    name, value = "CELERY_TASK_SERIALIZER", conf.task_serializer
    try:
        body = serialization.dumps([[], {}, {}], serializer=value)[2]
        if conf.task_compression:
            name, value = "CELERY_TASK_COMPRESSION", conf.task_compression
            compression.compress(body, value)
    except Exception as error:
        return (
            f"{name}={value} can't be used here ({error!r}), so that no message can be sent: "
            "install its library in this role, or change the setting"
        )
    return None
