"""Host names, origins and URLs as their readers compare them, and as people write them.

Each function returns what a text should have been, so that a text which differs from it is wrong
and the error can say what to write instead.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

#: A name, ``.name`` for all below it, an address; as Django's ``host_validation_re`` has them.
HOST = re.compile(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)
DEFAULT_PORTS = {"http": "80", "https": "443"}
HOSTS = "host names, comma-separated: example.com,www.example.com"
ORIGINS = "schemes and host names, comma-separated: https://example.com,https://*.example.org"
#: Not in a login: urllib takes brackets for an address, and libpq refuses other percent signs.
NOT_ESCAPED = re.compile(r"[][]|%(?![0-9a-f]{2})", re.IGNORECASE)
ESCAPES = "in a password, / is written as %2F, ? as %3F, # as %23, @ as %40, [ as %5B, % as %25"


def parts(value: str) -> list[str]:
    """Return the words of a list, however a person has separated and wrapped them."""
    words = []
    for word in re.split(r"[\s,;]+", value):
        bare = word.strip("[]'\"()")
        # Some brackets belong to an address.
        words.append(bare if bare.count("[") == bare.count("]") else word.strip("'\"()"))
    return [word for word in words if word]


def host(text: str) -> str:
    """Return the host that *text* means, as ``ALLOWED_HOSTS`` has it; empty if there is none."""
    if text == "*":
        return text
    text = _bare(text.partition("://")[2] or text)
    without_port = re.sub(r":\d*$", "", text)
    for address in (text, without_port):
        try:
            return _in_url(ip_address(address.strip("[]'\"")))
        except ValueError:
            pass
    name = re.sub(r"^\*\.", ".", without_port.strip("[]'\"")).rstrip(".")
    try:
        # What browsers send.
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return name if HOST.fullmatch(name) else ""


def origin(text: str) -> str:
    """Return the origin that *text* means, as browsers write it; empty if there is none."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    scheme, rest = scheme.strip("[]'\"").lower(), _bare(rest)
    name = host(rest).lower()
    if not name or name == "*" or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return ""
    port = re.fullmatch(r"(?:[^:]+|\[.+\]):(\d+)", rest)
    number = f":{port[1]}" if port and port[1] != DEFAULT_PORTS.get(scheme) else ""
    return f"{scheme}://{'*' if name.startswith('.') else ''}{name}{number}"


def _bare(text: str) -> str:
    """Return *text* without a login before it, a path behind it and quotation marks around it."""
    return re.split(r"[/?#]", text.strip("'\""))[0].rpartition("@")[2]


def _in_url(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def url(text: str) -> str:
    """Return *text*, the URL of a server.

    Each parser takes a password with a ``/``, ``?`` or ``#`` in it for something else: the host,
    the port, the path. What they make of it may even be a server that exists.

    :raises ValueError: such a character in it, or a port that is no number.
    """
    rest = text.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, _, servers = place.rpartition("@")
    if "#" in rest or "@" in rest[len(place) :] or re.search(NOT_ESCAPED, login):
        raise ValueError("a character in it ends the password")
    for server in servers.split(","):  # libpq's way to name several
        urlsplit(f"//{server}").port  # noqa: B018 - raises
    return text
