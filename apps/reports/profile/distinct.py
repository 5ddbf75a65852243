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
    """The *k* smallest hashes of the values that were added."""

    def __init__(self, k: int, hashes: Iterable[int] = ()) -> None:
        self.k = k
        self._smallest = array("Q")  # in ascending order
        self._new = array("Q")  # sorted in later, many at a time
        self.add(hashes)

    @property
    def hashes(self) -> array[int]:
        """The hashes, in ascending order."""
        if self._new:
            self._smallest = array("Q", sorted({*self._smallest, *self._new}))
            self._new = array("Q")
        del self._smallest[self.k :]
        return self._smallest

    @property
    def is_exact(self) -> bool:
        """Tell whether every hash is still there."""
        return len(self.hashes) < self.k

    def add(self, hashes: Iterable[int]) -> None:
        """Add hashes of values; the same one again changes nothing."""
        if len(self._smallest) < self.k:
            self._new.extend(hashes)
        else:
            largest = self._smallest[-1]
            self._new.extend(number for number in hashes if number < largest)
        if len(self._new) >= self.k:
            _ = self.hashes

    def merge(self, other: Sketch) -> None:
        """Add the values of *other*; of different sizes, the smaller one is kept."""
        self.limit(other.k)
        self.add(other.hashes)

    def limit(self, k: int) -> None:
        """Keep at most *k* hashes."""
        self.k = min(self.k, k)
        del self._smallest[self.k :]

    def distinct(self) -> int:
        """Return the number of distinct values, exactly or by estimate."""
        hashes = self.hashes
        if len(hashes) < self.k:
            return len(hashes)
        return round((self.k - 1) * _RANGE / hashes[-1])

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
