"""Encryption of what leaves the machine, to public keys of age (https://age-encryption.org).

With the machine alone, backups can be written and none can be read: the identity that opens them
may lie elsewhere. Made by ``age-keygen``, or ``python -m durable.backups.encryption``.

    BACKUP_RECIPIENTS     public keys (age1...), with spaces between; none: nothing is encrypted
    BACKUP_IDENTITY       the secret key (AGE-SECRET-KEY-1...), or a file by BACKUP_IDENTITY_FILE
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pyrage import (
    DecryptError,
    IdentityError,
    RecipientError,
    decrypt_io,
    encrypt_io,
    x25519,
)

#: Ends the name of a file that is encrypted.
SUFFIX = ".age"


class KeysError(Exception):
    """A key is none, or not the right one, and the text says which variable to change."""


def recipients(env: Mapping[str, str]) -> list[x25519.Recipient]:
    """Return the public keys of BACKUP_RECIPIENTS.

    :raises KeysError: one of them is none.
    """
    found = []
    for text in env.get("BACKUP_RECIPIENTS", "").split():
        try:
            found.append(x25519.Recipient.from_str(text))
        except RecipientError as error:
            raise KeysError(
                "BACKUP_RECIPIENTS: expected public keys of age (age1...), with spaces between"
                + ("; that is a secret key" if text.startswith("AGE-SECRET-KEY") else f": {text!r}")
            ) from error
    return found


def identities(env: Mapping[str, str]) -> list[x25519.Identity]:
    """Return the secret keys of BACKUP_IDENTITY; none if it isn't set.

    :raises KeysError: one of them is none.
    """
    text = env.get("BACKUP_IDENTITY", "")
    if not text and (path := env.get("BACKUP_IDENTITY_FILE")):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise KeysError(f"BACKUP_IDENTITY_FILE={path}: {error.strerror}") from error
    try:
        keys = (line.strip() for line in text.splitlines())  # as age-keygen writes them
        return [x25519.Identity.from_str(key) for key in keys if key and not key.startswith("#")]
    except IdentityError as error:
        raise KeysError(
            "BACKUP_IDENTITY: expected a secret key of age (AGE-SECRET-KEY-1...)"
        ) from error


def encrypt(plain: Path, sealed: Path, keys: list[x25519.Recipient]) -> None:
    """Write what is in *plain* to *sealed*, for each of *keys* to open."""
    with plain.open("rb") as source, sealed.open("wb") as target:
        encrypt_io(source, target, keys)


def decrypt(sealed: Path, plain: Path, keys: list[x25519.Identity]) -> None:
    """Write what is in *sealed* to *plain*.

    :raises KeysError: it was not encrypted for any of *keys*, or is damaged.
    """
    try:
        with sealed.open("rb") as source, plain.open("wb") as target:
            decrypt_io(source, target, keys)
    except DecryptError as error:
        raise KeysError(
            f"it can't be decrypted ({error}): BACKUP_IDENTITY is of none of the "
            "BACKUP_RECIPIENTS at that time, or the file is damaged"
        ) from error


if __name__ == "__main__":
    made = x25519.Identity.generate()
    print(f"# BACKUP_RECIPIENTS={made.to_public()}", file=sys.stderr)
    print(made)
