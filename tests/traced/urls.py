"""A page that calls tasks, for each queue that its address names."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from durable.queue.caller.calls import durable

from .tasks import again, fails, first, second


def call(request: HttpRequest, secret: str) -> HttpResponse:
    """Call a chain, a task that is tried again, one that fails, and a plain one."""
    with transaction.atomic():
        for queue in request.GET["queues"].split(","):
            with durable():
                (first.s(secret).set(queue=queue) | second.s().set(queue=queue)).delay()
            again.apply_async_on_commit((secret,), queue=queue)
            fails.apply_async_on_commit((secret,), queue=queue)
            if queue != "batch":  # whose workers take rows alone
                second.apply_async((secret,), queue=queue)
    return HttpResponse()


urlpatterns = [path("call/<str:secret>", call)]
