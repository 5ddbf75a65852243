"""Every error of the API is a problem (RFC 9457), and an outage of the database a quick one."""

from __future__ import annotations

import json
import threading

import pytest
from django.test import Client

from .cable import Cable, through
from .fixtures_worker import StartRole, database_url, free_port, wait_for
from .http_client import Answer, Visitor

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("put", "/api/token", "localhost", 405),
        ("delete", "/api/reports", "localhost", 405),
        ("get", "/api/reports", "elsewhere.example", 400),
        ("get", "/api/no-such-path", "localhost", 404),
        ("get", "/api/reports", "localhost", 401),
        ("post", "/api/token", "localhost", 400),
    ],
)
def test_whoever_refuses_does_it_with_a_problem(
    client: Client, method: str, path: str, host: str, status: int
) -> None:
    answer = getattr(client, method)(path, headers={"host": host})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == PROBLEM
    assert json.loads(answer.content)["status"] == status


def test_a_wrong_method_is_told_the_right_ones(client: Client) -> None:
    answer = client.put("/api/token")
    assert answer.headers["Allow"] == "POST"
    assert answer.json()["detail"] == "PUT is not allowed here, but POST."


def test_a_page_outside_of_the_api_stays_a_page(client: Client) -> None:
    assert client.get("/no-such-page").headers["Content-Type"].startswith("text/html")


@pytest.mark.django_db(transaction=True)
def test_a_burst_while_the_database_is_away_is_answered_and_so_is_the_first_one_after(
    start_role: StartRole, database: Cable
) -> None:
    port = free_port()
    web = start_role(
        "web",
        WEB_BIND=f"127.0.0.1:{port}",
        WEB_CONCURRENCY="1",
        WEB_THREADS="3",
        DATABASE_URL=through(database, database_url()),
    )
    visitor = Visitor(port)
    body = json.dumps({"username": "nobody", "password": "wrong"}).encode()

    def ask() -> Answer:
        return visitor.request("/api/token", body, Content_Type="application/json")

    web.wait_for_line("Listening at")
    assert wait_for(lambda: visitor.request("/readyz").status == 200, "web can serve")
    assert ask().status == 401

    database.pull()
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["Content-Type"] for answer in answers} == {PROBLEM}
    # Three threads waited for the pool, and on a slow machine some more, once a pause was over; if
    # each request had, there would be nothing but timeouts.
    waited = web.output().count("couldn't get a connection after")
    assert 0 < waited < web.output().count("the database was away a moment ago")

    database.plug()
    wait_for(lambda: ask().status == 401, "the database is there again")
