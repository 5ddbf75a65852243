"""Mail is sent by workers: an SMTP server that is slow or away must not hold up a page."""

from __future__ import annotations

import logging
import smtplib

from celery import shared_task
from django.contrib.auth.models import User

from proj.task import Task

from . import mail

logger = logging.getLogger(__name__)


@shared_task(
    bind=True,
    atomic=False,  # nothing of it is in the database: no transaction waits for the mail server
    autoretry_for=(OSError,),  # every error of smtplib is one, and so is a server that is away
    max_retries=8,
    retry_backoff=5,  # 5, 10, 20, ... seconds, each with jitter
    retry_backoff_max=600,  # below the broker's visibility timeout, for plain delay()
)
def send_welcome_email(self: Task, user_id: int) -> None:
    """Greet the user with the primary key *user_id*, unless the account is gone meanwhile.

    May run twice: the mail's ``Message-ID`` is then the same. An address that the server refuses
    for good is logged and not tried again; a temporary refusal (greylisting) is.
    """
    user = User.objects.filter(pk=user_id).exclude(email="").first()
    if user is None:
        logger.info("No welcome mail: user %s is gone or has no address", user_id)
        return
    try:
        mail.welcome(user, self.idempotency_key).send()
    except smtplib.SMTPRecipientsRefused as refused:
        if any(code < 500 for code, _ in refused.recipients.values()):
            raise
        logger.warning("The welcome mail to user %s was refused: %s", user_id, refused)
