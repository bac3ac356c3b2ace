"""How late a packet is, when a fault lets packets be late.

Owns the styles of being late and the instants at which late packets aim; what lateness does to the order of packets and
to the delay that a plan allows is `link`'s. It does not know where deadlines come from: it is given them.

The idea. Bugs of timing sit next to the program's own deadlines: an answer that comes just before a timeout, in the
turn of the loop in which it fires, or just after. Random lateness meets such an instant once in thousands of runs; the
simulator knows them all. So each flow has a *style*: any lateness, few late packets, arrivals in bursts (all that was
sent in one interval arrives at its end, joined), or arrivals aimed around the deadlines that its receiver has pending.
Whatever the style, the choice that is made is a plain lateness in steps of a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from wavetank.network.segmentation import AimedDraws

JITTER_STEP_NS: Final = 1_000

ANY, AIMED, BURSTS = 0, 1, 2


class Style(NamedTuple):
    """How often a packet is late (in 1/65536), and how its lateness is drawn."""

    rate: int
    kind: int
    words: str


#: What the choice "lateness" means. The first one is calm: what a flow has when nothing else is drawn.
STYLES: Final = (
    Style(1 << 15, ANY, "half of the packets are late"),
    Style(1 << 13, ANY, "one packet of eight is late"),
    Style(1 << 15, AIMED, "half of the packets arrive next to a deadline of their receiver"),
    Style(1 << 13, AIMED, "one packet of eight arrives next to a deadline of its receiver"),
    Style(1 << 16, BURSTS, "packets arrive in bursts"),
)
#: How often a flow has another style than the first.
STYLE_RATE: Final = 5 << 13
#: Where arrivals aim, in ns from the deadline: well before; within the few system calls (1 us each) of one turn of a
#: loop; in the millisecond to which selectors round timeouts up (CPython Lib/selectors.py), when timer and data are
#: found in one turn; after.
OFFSETS_NS: Final = (
    -200_000, -30_000, -10_000, -6_000, -5_000, -4_000, -3_000, -2_000, -1_000, 0,
    1_000, 2_000, 5_000, 20_000, 100_000, 300_000, 500_000, 900_000, 999_000, 1_100_000, 2_000_000,
)  # fmt: skip


class Lateness:
    """The lateness of the packets of one flow. `deadlines` tells the receiver's own, as virtual time in ns."""

    __slots__ = ("_arrival", "_steps", "deadlines", "draws", "style")

    def __init__(self, draws: AimedDraws, style: Style, deadlines: Callable[[], Sequence[int]]) -> None:
        self.draws = draws
        self.style = style
        self.deadlines = deadlines
        self._arrival = self._steps = 0

    def steps(self, arrival: int, most: int, aims: bool) -> int:
        """How many steps of `JITTER_STEP_NS` a packet is late that would arrive at `arrival`; at most `most`.

        `aims`: whether the packet may aim, because the receiver's program will notice it.
        """
        style = self.style
        if style.kind == ANY:
            return self.draws.draw(style.rate, most + 1)
        self._arrival, self._steps = arrival, most
        return self.draws.aim(style.rate if aims else 0, most + 1, self._burst if style.kind == BURSTS else self._aimed)

    def _burst(self, bits: int) -> int:
        """Up to the next multiple of the most that a packet can be late."""
        interval = self._steps * JITTER_STEP_NS
        return (-self._arrival % interval) // JITTER_STEP_NS

    def _aimed(self, bits: int) -> int:
        """To an instant next to a deadline that can be reached; on time when there is none."""
        arrival = self._arrival
        latest = arrival + self._steps * JITTER_STEP_NS
        reached = [deadline for deadline in self.deadlines() if arrival < deadline <= latest]
        if not reached:
            return 0
        at = reached[bits % len(reached)] + OFFSETS_NS[(bits >> 16) % len(OFFSETS_NS)]
        return min(self._steps, max(0, at - arrival) // JITTER_STEP_NS)
