"""Six visitors who ask for a page while a site is changed; nothing that they ask may fail."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

from .chaos import visitor as chaos

PAGE = "/admin/login/"


@contextmanager
def visitors(
    port: int, headers: Mapping[str, str] | None = None, patience: float = chaos.TIMEOUT
) -> Iterator[dict[int, int]]:
    """Send them, half of them on connections that stay; yield how many answers each has had.

    :param patience: seconds that each waits for an answer.
    """
    failures: list[str] = []
    numbers = dict.fromkeys(range(6), 0)
    end = Event()

    def visit(number: int) -> None:
        visitor = chaos.Visitor(
            "127.0.0.1", port, headers or {}, keep_alive=number % 2 == 0, timeout=patience
        )
        while not end.wait(0.05):
            method, body = ("POST", "{}") if number % 3 == 0 else ("GET", None)
            try:
                status, _ = visitor.request(method, PAGE, body)
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{method}: {error!r}")
            else:
                numbers[number] += 1
                # Without its token the form is refused, by the application.
                if status != (403 if body else 200):
                    failures.append(f"{method}: {status}")

    threads = [Thread(target=visit, args=[number]) for number in numbers]
    for thread in threads:
        thread.start()
    try:
        yield numbers
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert all(numbers.values())
    assert failures == []
