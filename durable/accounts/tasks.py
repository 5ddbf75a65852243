"""Mail about accounts, by workers: a mail server that is slow or away holds up no page.

Their arguments hold no secret: a link is signed where it is sent.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

from celery import shared_task
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.timezone import now

from durable.housekeeping.batches import delete_older

from . import conf
from .models import Event

logger = logging.getLogger(__name__)

#: How a task that sends a mail is declared.
BY_MAIL: dict[str, Any] = {
    "bind": True,
    "atomic": False,  # nothing of it is in the database: no transaction waits for the mail server
    "autoretry_for": (OSError,),  # every error of smtplib is one, and so is a server that is away
    "max_retries": 8,
    "retry_backoff": 5,  # 5, 10, 20, ... seconds, each with jitter
    "retry_backoff_max": 600,  # below the broker's visibility timeout, for plain delay()
}

#: The subjects; no mail has a text in it that somebody else than its reader has chosen.
SUBJECTS = {
    "password_changed": "Your password was changed",
    "second_factor_added": "A second factor was added to your account",
    "second_factor_removed": "The second factor of your account was removed",
    "second_factor_refused": "Wrong codes for your account",
    "second_factor_again": "A code of your account came twice",
    "welcome": "Welcome",
}
#: The salt of a link to sign up, and for how many seconds it is good.
SIGNUP, SIGNUP_MAX_AGE = "account.signup", 3600


def message_id(key: str) -> str:
    """Return the ``Message-ID`` of the mail of a task with the idempotency key *key*.

    A task may run twice (a worker that dies after the server took the mail, before that was
    recorded). Both mails then carry the same ID, which mail servers and programs take for the same
    mail; a random ID, Django's default, would make them two. Not made of the user's number: that
    begins anew with a new database, and an ID must never come back.
    """
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].partition("@")[2] or "localhost"
    return f"<{key}@{domain}>"


def send(
    task: Any, to: str, subject: str, template: str, context: dict[str, Any], *, part: str = ""
) -> None:
    """Send one mail from *task*; an address that the server refuses for good is logged.

    :param part: tells apart the mails of one call.
    """
    body = render_to_string(template, context)
    headers = {"Message-ID": message_id(f"{task.idempotency_key}{part}")}
    try:
        EmailMessage(subject=subject, body=body, to=[to], headers=headers).send()
    except smtplib.SMTPRecipientsRefused as refused:
        if any(code < 500 for code, _ in refused.recipients.values()):
            raise
        logger.warning("%s: the mail was refused: %s", task.name, refused)


@shared_task(**BY_MAIL)
def tell(self: Any, user_id: Any, what: str, moment: str = "") -> None:
    """Tell a person what became of their account, unless it is gone or has no address."""
    user = get_user_model()._default_manager.filter(pk=user_id).first()
    to = getattr(user, user.get_email_field_name(), "") if user else ""
    if not to:
        logger.info("No mail (%s): user %s is gone or has no address", what, user_id)
        return
    send(self, to, SUBJECTS[what], f"account/{what}.txt", {"moment": moment})


@shared_task(**BY_MAIL)
def send_password_link(self: Any, mailbox: str, site: str) -> None:
    """Send the links by which the accounts of *mailbox* get a new password."""
    model = get_user_model()
    field = model.get_email_field_name()
    users = model._default_manager.filter(**{f"{field}__iexact": mailbox, "is_active": True})
    for user in users[:5]:
        if not user.has_usable_password():
            continue
        path = reverse(
            "account:password_reset_confirm",
            args=[
                urlsafe_base64_encode(force_bytes(user.pk)),
                default_token_generator.make_token(user),
            ],
        )
        context = {"link": f"{site}{path}", "user": user, "hours": _hours()}
        # To the address on record: two that look alike may be two people's.
        to = getattr(user, field)
        subject = "Choose a new password"
        send(self, to, subject, "account/password_link.txt", context, part=f".{user.pk}")


def _hours() -> int:
    return max(1, settings.PASSWORD_RESET_TIMEOUT // 3600)


def account_of(mailbox: str) -> QuerySet[Any]:
    """Return the accounts of a mailbox."""
    model = get_user_model()
    return model._default_manager.filter(**{f"{model.get_email_field_name()}__iexact": mailbox})


def signup_link(mailbox: str, site: str) -> str:
    """Return the link by which *mailbox* gets an account."""
    token = signing.dumps(mailbox, salt=SIGNUP)
    return f"{site}{reverse('account:signup_confirm', args=[token])}"


@shared_task(**BY_MAIL)
def send_signup_link(self: Any, mailbox: str, site: str) -> None:
    """Send the link by which *mailbox* gets an account; one that has an account is told so."""
    known = account_of(mailbox).exists()
    link = f"{site}{reverse('account:login')}" if known else signup_link(mailbox, site)
    context = {"link": link, "known": known}
    send(self, mailbox, "Your account", "account/signup_link.txt", context)


@shared_task
def purge_audit() -> int:
    """Delete the lines of the audit log that are older than ``ACCOUNT_AUDIT_DAYS``."""
    limit = now() - timedelta(days=conf.get("AUDIT_DAYS"))
    return delete_older(Event._meta.db_table, "id", "at", limit)
