"""The settings of this app: ``ACCOUNT_<NAME>`` in the environment and in Django's settings."""

from __future__ import annotations

from durable.environment.declared import Declared, Setting

ACCOUNT = Declared(
    "ACCOUNT",
    # Wrong tries in an hour for one account: from one address, from a browser that is known, and,
    # but for staff, from everywhere else together. OWASP's ASVS allows no more than 100 (2.2.1).
    TRIES_PER_HOUR=Setting(100, least=10),
    # Tries in a minute from one address, for whatever account.
    TRIES_PER_MINUTE=Setting(30, least=1),
    # Mails in an hour that strangers may cause: to one mailbox, and from one address.
    MAILS_PER_HOUR=Setting(5, least=1),
    # Strangers may make accounts; else they are made in the admin.
    SIGNUP=Setting(False),
    # Seconds that a token of the API is good for.
    TOKEN_MAX_AGE=Setting(12 * 3600, least=60),
    # How long a log-in of staff holds.
    STAFF_SESSION_HOURS=Setting(12, least=1),
    # Staff without a second factor are led to its set-up before they see the admin.
    STAFF_SECOND_FACTOR=Setting(False),
    # How old a log-in may be for deleting, accounts and second factors.
    RECENT_MINUTES=Setting(15, least=1),
    # Days until a line of the audit log is deleted.
    AUDIT_DAYS=Setting(365, least=1),
)

get = ACCOUNT.get
