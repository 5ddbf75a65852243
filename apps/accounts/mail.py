"""The mails of this app."""

from __future__ import annotations

from email.utils import parseaddr

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.template.loader import render_to_string


def message_id(kind: str, pk: int) -> str:
    """Return the ``Message-ID`` of the one mail of *kind* for the row *pk*.

    A task may run twice (a worker that dies after the server took the mail, before the message
    was acknowledged). Both mails then carry the same ID, which mail servers and programs take for
    the same mail; a random ID, Django's default, would make them two.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    return f"<{kind}.{pk}@{domain}>"


def welcome(user: User) -> EmailMessage:
    """Return the mail that greets *user*."""
    return EmailMessage(
        subject=f"Welcome, {user.get_username()}",
        body=render_to_string("accounts/welcome.txt", {"user": user}),
        to=[user.email],
        headers={"Message-ID": message_id("welcome", user.pk)},
    )
