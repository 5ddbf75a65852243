"""The mails of this app."""

from __future__ import annotations

from email.utils import parseaddr

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.template.loader import render_to_string


def message_id(key: str) -> str:
    """Return the ``Message-ID`` of the mail of a task with the idempotency key *key*.

    A task may run twice (a worker that dies after the server took the mail, before that was
    recorded). Both mails then carry the same ID, which mail servers and programs take for the same
    mail; a random ID, Django's default, would make them two. Not made of the user's number: that
    begins anew with a new database, and an ID must never come back.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    return f"<{key}@{domain}>"


def welcome(user: User, key: str) -> EmailMessage:
    """Return the mail that greets *user*; *key* is the same for each copy of it."""
    return EmailMessage(
        subject=f"Welcome, {user.get_username()}",
        body=render_to_string("accounts/welcome.txt", {"user": user}),
        to=[user.email],
        headers={"Message-ID": message_id(key)},
    )
