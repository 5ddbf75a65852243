"""How many distinct values: exactly while they are few, an estimate from a fixed-size sketch after.

The sketch is the k minimum values (Bar-Yossef et al., "Counting distinct elements in a data
stream", 2002; Beyer et al., "On synopses for distinct-value estimation under multiset operations",
2007): hash every value to a number in [0, 1); if n of them are distinct and the k-th smallest is
u, then (k - 1) / u is an unbiased estimate of n with a standard error of about n / sqrt(k - 2).
The k smallest of a union are the k smallest of both, so merging is exact, takes no order, and may
be repeated. One sketch, and no HyperLogLog: below k it is exact, and its code is this page.
"""

from __future__ import annotations

import struct
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

_RANGE = 2**64


def hashed(value: str) -> int:
    """Return a hash of *value* in [0, 2**64), the same in every process."""
    return int.from_bytes(blake2b(value.encode(), digest_size=8).digest(), "big")


class Sketch:
    """The *k* smallest hashes of the values that were added.

    :ivar hashes: them, in ascending order.
    """

    def __init__(self, k: int, hashes: Iterable[int] = ()) -> None:
        self.k = k
        self.hashes = array("Q")
        self.add(hashes)

    @property
    def is_exact(self) -> bool:
        """Tell whether every hash is still there."""
        return len(self.hashes) < self.k

    def add(self, hashes: Iterable[int]) -> None:
        """Add hashes of values; the same one again changes nothing."""
        if not self.is_exact:
            largest = self.hashes[-1]
            hashes = [number for number in hashes if number < largest]
            if not hashes:
                return
        self.hashes = array("Q", sorted({*self.hashes, *hashes})[: self.k])

    def merge(self, other: Sketch) -> None:
        """Add the values of *other*; of different sizes, the smaller one is kept."""
        self.k = min(self.k, other.k)
        self.hashes = self.hashes[: self.k]
        self.add(other.hashes)

    def distinct(self) -> int:
        """Return the number of distinct values, exactly or by estimate."""
        if self.is_exact:
            return len(self.hashes)
        return round((self.k - 1) * _RANGE / self.hashes[-1])

    def to_json(self) -> list[Any]:
        """Return it as plain data: hashes in Base64, little-endian whatever the machine."""
        data = struct.pack(f"<{len(self.hashes)}Q", *self.hashes)
        return [self.k, b64encode(data).decode()]

    @classmethod
    def from_json(cls, data: list[Any]) -> Sketch:
        """Build it again from :meth:`to_json`."""
        k, text = data
        packed = b64decode(text)
        return cls(k, struct.unpack(f"<{len(packed) // 8}Q", packed))
