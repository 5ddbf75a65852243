"""The second factor: codes of an authenticator app, and recovery codes for when it is lost.

django-otp keeps and compares both. Of a recovery code only a hash is stored. In the session stands
whether the factor is due, so that no request has to ask for the account's devices.
"""

from __future__ import annotations

import re
import secrets
import time
from base64 import b32encode
from hashlib import sha256
from typing import Any

import segno
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest
from django.utils.timezone import now
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from . import audit, limits
from .backends import refuse
from .tasks import tell

#: The key in the session: ``due`` or ``passed``; absent without a second factor.
STATE = "second-factor"
DUE, PASSED = "due", "passed"

#: Wrong codes for one account; after a right password, so what they hold up is somebody who has it.
TRIES = limits.Limit("second factor", 10, limits.HOUR)
RECOVERY_CODES = 10


def has(user: Any) -> bool:
    """Return whether *user* logs in with one."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def verify(request: HttpRequest, user: Any, code: str) -> bool:
    """Return whether *code* is good now for *user*: each is so once."""
    if wait := limits.take(TRIES, str(user.pk)):
        if refuse(request, wait, "second factor refused", user):
            tell.delay_on_commit(user.pk, "second_factor_refused", moment())
        return False
    code = re.sub(r"[\s-]", "", code).lower()
    with transaction.atomic():
        if re.fullmatch(r"[0-9]{6}", code):
            devices = TOTPDevice.objects.filter(user=user, confirmed=True)
        else:
            devices, code = StaticDevice.objects.filter(user=user), _hashed(user, code)
        device = devices.select_for_update().first()
        good = device is not None and device.verify_token(code)
        again = not good and isinstance(device, TOTPDevice) and _shown_now(device, code)
    if good:
        cache.delete(TRIES.key(str(user.pk)))
    elif again:
        audit.record("second factor used again", user)
        tell.delay_on_commit(user.pk, "second_factor_again", moment())
    else:
        audit.record("second factor failed", user)
    return bool(good)


def _shown_now(device: TOTPDevice, code: str) -> bool:
    """Return whether the app shows *code*, used or not: of a used one the person hears."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time()
    return bool(totp.verify(int(code), device.tolerance))


def proposed(user: Any) -> TOTPDevice:
    """Return what an app is to be set up with, which counts once a code of it was right."""
    mine = TOTPDevice.objects.filter(user=user, confirmed=False)
    return mine.first() or TOTPDevice.objects.create(user=user, confirmed=False)


def key(device: TOTPDevice) -> str:
    """Return the key of *device* as people type it into an app."""
    return b32encode(device.bin_key).decode()


def picture(device: TOTPDevice) -> str:
    """Return the same as the address of a picture that an app scans."""
    code = segno.make(device.config_url, error="m", micro=False)
    return str(code.svg_data_uri(scale=5, dark="#000", light="#fff"))


@transaction.atomic
def add(user: Any, code: str) -> list[str]:
    """Let the proposed app be the second factor if *code* is its own.

    Return the recovery codes, which are never shown again; none if the code was wrong.
    """
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
    if device is None or not device.verify_token(re.sub(r"\s", "", code)):
        return []
    TOTPDevice.objects.filter(user=user, confirmed=True).delete()
    StaticDevice.objects.filter(user=user).delete()
    device.confirmed = True
    device.save()
    codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    recovery = StaticDevice.objects.create(user=user, name="recovery codes")
    recovery.token_set.bulk_create(
        [recovery.token_set.model(device=recovery, token=_hashed(user, code)) for code in codes]
    )
    audit.record("second factor added", user)
    tell.delay_on_commit(user.pk, "second_factor_added", moment())
    return ["-".join(re.findall("....", code)) for code in codes]


@transaction.atomic
def remove(user: Any) -> bool:
    """Let *user* log in by the password alone; return whether that is new."""
    there = has(user)
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()
    if there:
        audit.record("second factor removed", user)
        tell.delay_on_commit(user.pk, "second_factor_removed", moment())
    return there


def moment() -> str:
    """Return the time as mails say it."""
    return f"{now():%Y-%m-%d %H:%M} UTC"


def _hashed(user: Any, code: str) -> str:
    # 80 random bits are in the code, so nothing slower is needed; the column takes 16 characters.
    return b32encode(sha256(f"{user.pk}:{code}".encode()).digest()).decode()[:16].lower()
