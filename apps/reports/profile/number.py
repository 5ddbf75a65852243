"""Numbers as they are written in a file, exactly: an integer times a power of ten."""

from __future__ import annotations

import math
import re

#: Digits before and after the point; longer ones are rather names than numbers, and stay text.
MAX_DIGITS = 40
_DIGITS = f"[0-9]{{1,{MAX_DIGITS}}}"
_INTEGER = re.compile(rf"[ \t]*[+-]?{_DIGITS}[ \t]*")
_NUMBER = re.compile(
    rf"[ \t]*[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?[0-9]{{1,3}})?[ \t]*"
)

is_integer = _INTEGER.fullmatch


def is_number(value: str) -> bool:
    """Tell whether *value* is a decimal number within the range of a double (no "inf", "nan")."""
    if not _NUMBER.fullmatch(value):
        return False
    if "e" not in value and "E" not in value:
        return True
    number = float(value)
    return math.isfinite(number) and (number != 0 or parse(value)[0] == 0)


def parse(value: str) -> tuple[int, int]:
    """Return *mantissa* and *exponent* of a number: its value is ``mantissa * 10**exponent``.

    Equal numbers may have different pairs when the exponent isn't negative; see :func:`canonical`.
    """
    digits, _, power = value.strip().lower().partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    digits = whole + fraction
    mantissa = 0 if digits in {"", "+", "-"} else int(digits)
    exponent = int(power or 0) - len(fraction)
    if mantissa == 0:
        return 0, 0
    while exponent < 0 and mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    return mantissa, exponent


def canonical(mantissa: int, exponent: int) -> str:
    """Return the one way to write a number that all ways to write it share: 1.0, 01, 1e0 are 1."""
    if exponent >= 0:
        plain = str(mantissa * 10**exponent)
        if len(plain.lstrip("-")) <= MAX_DIGITS:
            return plain
        digits = plain.rstrip("0")
        return f"{digits}e{len(plain) - len(digits)}"
    if exponent < -2 * MAX_DIGITS:
        return f"{mantissa}e{exponent}"
    sign = "-" if mantissa < 0 else ""
    digits = str(abs(mantissa)).rjust(1 - exponent, "0")
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
