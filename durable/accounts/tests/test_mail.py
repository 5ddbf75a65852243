"""Mails about accounts: when they are enqueued, and what becomes of them with real servers."""

from __future__ import annotations

import email
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import transaction
from django.test import Client

from durable.accounts.tasks import signup_link, tell
from durable.queue.models import Task as Row
from tests.fixtures_worker import StartRole, free_port, wait_for

from .smtp_server import smtp_server

User = get_user_model()

ANN = {
    "username": "ann",
    "password1": "correct-horse-9",
    "password2": "correct-horse-9",
}


def mails_in(folder: Path) -> list[Message]:
    """Return the mails that Django's file backend wrote; each ends in a line of dashes."""
    texts = (path.read_bytes() for path in sorted(folder.glob("*.log")))
    return [email.message_from_bytes(text) for text in texts if text.endswith(b"-" * 79 + b"\n")]


def new_user(name: str = "ann") -> Any:
    return User.objects.create_user(name, f"{name}@example.com", "correct-horse-9")


@pytest.mark.django_db(transaction=True)
class TestEnqueueing:
    def test_plain_delay_runs_before_the_commit_and_finds_no_user(
        self, start_role: StartRole, tmp_path: Path
    ) -> None:
        """The race, held open: the transaction waits until the worker is done with the task."""
        worker = start_role("worker", EMAIL_FILE_PATH=str(tmp_path / "mail"))
        with transaction.atomic():
            user = new_user()
            tell.delay(user.pk, "welcome").get(timeout=180)
        assert f"user {user.pk} is gone" in worker.output()
        assert mails_in(tmp_path / "mail") == []

    def test_delay_on_commit_runs_after_the_commit_and_finds_the_user(
        self, start_role: StartRole, tmp_path: Path
    ) -> None:
        start_role("worker", EMAIL_FILE_PATH=str(tmp_path / "mail"))
        with transaction.atomic():
            tell.delay_on_commit(new_user().pk, "welcome")
        (message,) = wait_for(lambda: mails_in(tmp_path / "mail"), "the mail is in the folder")
        assert message["To"] == "ann@example.com"

    def test_a_transaction_that_is_rolled_back_calls_nothing(self) -> None:
        for is_rolled_back in (True, False):
            with transaction.atomic():
                tell.delay_on_commit(new_user().pk, "welcome")
                transaction.set_rollback(is_rolled_back)
            calls = Row.objects.filter(task=tell.name).count()
            assert calls == User.objects.count() == (0 if is_rolled_back else 1)

    def test_signing_up_sends_the_mail_by_a_worker(
        self, start_role: StartRole, tmp_path: Path, client: Client
    ) -> None:
        start_role("worker", EMAIL_FILE_PATH=str(tmp_path / "mail"))
        link = signup_link("ann@example.com", "")
        assert client.post(link, ANN).status_code == 302
        (message,) = wait_for(lambda: mails_in(tmp_path / "mail"), "the mail is in the folder")
        assert message["Subject"] == "Welcome"


@pytest.mark.django_db(transaction=True)
class TestSmtp:
    def test_with_email_url_the_mail_goes_to_that_server(self, start_role: StartRole) -> None:
        with smtp_server() as server:
            start_role("worker", EMAIL_URL=server.url)
            tell.delay(new_user().pk, "welcome").get(timeout=180)
        (message,) = server.mails
        assert message["To"] == "ann@example.com"
        assert "Your account is ready" in message.get_payload()

    def test_a_temporary_refusal_is_tried_again(self, start_role: StartRole) -> None:
        with smtp_server("451 try again later") as server:
            start_role("worker", EMAIL_URL=server.url)
            tell.delay(new_user().pk, "welcome").get(timeout=180)
        assert len(server.mails) == 1

    def test_a_final_refusal_is_logged_and_not_tried_again(self, start_role: StartRole) -> None:
        with smtp_server("550 no such mailbox") as server:
            worker = start_role("worker", EMAIL_URL=server.url)
            tell.delay(new_user().pk, "welcome").get(timeout=180)
        assert server.mails == []
        assert "no such mailbox" in worker.output()

    def test_a_server_that_is_away_is_tried_again(self, start_role: StartRole) -> None:
        worker = start_role("worker", EMAIL_URL=f"smtp://127.0.0.1:{free_port()}")
        result = tell.delay(new_user().pk, "welcome")
        worker.wait_for_line("Retry in")
        result.revoke()


@pytest.mark.django_db
class TestTask:
    def test_a_mail_that_one_call_sends_twice_is_recognisably_the_same(self) -> None:
        user = new_user()
        for _ in range(2):  # the worker died before it could record the first
            tell.apply([user.pk, "welcome"], task_id="one-call")
        first, second = (message.message()["Message-ID"] for message in mail.outbox)
        assert first == second == "<one-call@localhost>"

    def test_mails_of_two_calls_are_two(self) -> None:
        user = new_user()
        for _ in range(2):
            tell.apply([user.pk, "welcome"])
        tell(user.pk, "welcome")
        assert len({message.message()["Message-ID"] for message in mail.outbox}) == 3

    def test_a_user_who_is_deleted_meanwhile_gets_nothing(self) -> None:
        user = new_user()
        pk = user.pk
        user.delete()
        tell(pk, "welcome")
        assert mail.outbox == []

    def test_it_is_tried_a_limited_number_of_times_at_growing_intervals(self) -> None:
        assert tell.max_retries == 8
        assert tell.retry_backoff == 5
        # A message that waits for longer is handed out twice by Redis.
        assert tell.retry_backoff_max < 900
