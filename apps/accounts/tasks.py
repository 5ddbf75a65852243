"""The mails of this app, sent as those of durable.accounts are."""

from __future__ import annotations

import logging

from celery import shared_task
from django.contrib.auth.models import User
from django.core import signing
from django.urls import reverse

from durable.accounts.tasks import BY_MAIL, send
from proj.task import Task

logger = logging.getLogger(__name__)

#: What a sign-up link is signed for, and for how many seconds it is good.
SALT = "accounts.signup"
MAX_AGE = 3600


def signup_link(mailbox: str, site: str) -> str:
    """Return the link by which *mailbox* gets an account."""
    token = signing.dumps(mailbox, salt=SALT)
    return f"{site}{reverse('accounts:signup_confirm', args=[token])}"


@shared_task(**BY_MAIL)
def send_signup_link(self: Task, mailbox: str, site: str) -> None:
    """Send the link by which *mailbox* gets an account; one that has an account is told so."""
    known = User.objects.filter(email__iexact=mailbox).exists()
    link = f"{site}{reverse('account:login')}" if known else signup_link(mailbox, site)
    context = {"link": link, "known": known}
    send(self, mailbox, "Your account", "accounts/signup_link.txt", context)


@shared_task(**BY_MAIL)
def send_welcome_email(self: Task, user_id: int) -> None:
    """Greet the user with the primary key *user_id*, unless the account is gone meanwhile.

    May run twice: the mail's ``Message-ID`` is then the same. An address that the server refuses
    for good is logged and not tried again; a temporary refusal (greylisting) is.
    """
    user = User.objects.filter(pk=user_id).exclude(email="").first()
    if user is None:
        logger.info("No welcome mail: user %s is gone or has no address", user_id)
        return
    send(self, user.email, "Welcome", "accounts/welcome.txt", {"user": user})
