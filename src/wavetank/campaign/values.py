"""Numbers that depend on a seed and a key only: what plans are drawn from.

Owns the way from (seed, key) to a value. Each value has its own key, so that a family left out moves no other, and is
rounded to what people read, which is the same in every version of Python and on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Draws:
    """The values of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def unit(self, key: str) -> float:
        """From 0 up to, but not including, 1."""
        text = f"plan {self._seed} / {key}".encode()
        return float((int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 11) / (1 << 53))

    def yes(self, key: str, chance: float) -> bool:
        """True with probability `chance`."""
        return self.unit(key) < chance

    def between(self, key: str, bounds: tuple[float, float]) -> float:
        """Log-uniform, of two digits: what people read, and the same whatever the C library's last bit is."""
        low, high = bounds
        value = math.exp(math.log(low) + self.unit(key) * (math.log(high) - math.log(low)))
        return min(high, max(low, float(f"{value:.2g}")))

    def whole(self, key: str, bounds: tuple[int, int]) -> int:
        """A log-uniform whole number, as `between`."""
        return int(self.between(key, bounds))

    def signed(self, key: str, bounds: tuple[float, float]) -> float:
        """As `between`, and negative half of the time."""
        value = self.between(key, bounds)
        return -value if self.yes(f"{key}, sign", 0.5) else value

    def pick(self, key: str, among: Sequence[_T]) -> _T:
        """One of them, each as likely."""
        return among[int(self.unit(key) * len(among))]
