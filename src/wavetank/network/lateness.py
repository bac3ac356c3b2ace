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


#: What the choice "lateness" means, what is drawn more often twice. The first one is calm: what a flow has when nothing
#: else is drawn.
STYLES: Final = (
    Style(1 << 15, ANY, "half of the packets are late"),
    Style(1 << 13, ANY, "one packet of eight is late"),
    Style(1 << 15, AIMED, "half of the packets arrive next to a deadline of their receiver"),
    Style(1 << 13, AIMED, "one packet of eight arrives next to a deadline of its receiver"),
    Style(1 << 15, AIMED, "half of the packets arrive next to a deadline of their receiver"),
    Style(1 << 16, BURSTS, "packets arrive in bursts"),
)
#: How often a flow has another style than the first.
STYLE_RATE: Final = 6 << 13
#: A lateness at random is, as likely, at most all, a half, a quarter ... of what is allowed. If all were long, the
#: first few packets would use up the delay that a plan allows (`link.Allowance`).
MAGNITUDES: Final = 12
#: Where arrivals aim, in ns from the deadline. Most within the few system calls (1 us each) that one turn of a loop
#: takes: there data is found in one turn and the timer in the next. Some in the millisecond to which selectors round
#: timeouts up (CPython Lib/selectors.py), when both are found in one turn. The others well before, and after.
OFFSETS_NS: Final[tuple[int, ...]] = (
    *range(-8_000, 2_000, 1_000),
    *range(-5_000, 1_000, 1_000),
    *range(-3_000, 0, 1_000),
    *(20_000, 100_000, 300_000, 600_000, 900_000, 999_000),
    *(-200_000, -30_000, -15_000, 1_100_000, 2_000_000, 5_000_000),
)
#: Selectors round the time they wait up to this (CPython Lib/selectors.py), from the moment when they begin to wait.
ROUNDED_TO_NS: Final = 1_000_000
#: A loop that sends now begins to wait a few system calls later (1 us each): that decides when its timers fire.
TURN_NS: Final = 12_000


class Lateness:
    """The lateness of the packets of one flow.

    `draws` decide for packets with data, `control` for others: how many of these there are depends on how the data is
    cut. `deadlines` tells the receiver's own, and `now` the time, as virtual time in ns.
    """

    __slots__ = ("_arrival", "_steps", "control", "deadlines", "draws", "now", "style")

    def __init__(
        self,
        draws: AimedDraws,
        control: AimedDraws,
        style: Style,
        deadlines: Callable[[], Sequence[int]],
        now: Callable[[], int],
    ) -> None:
        self.draws = draws
        self.control = control
        self.style = style
        self.deadlines = deadlines
        self.now = now
        self._arrival = 0
        self._steps = 0

    def of_data(self, arrival: int, most: int, at: int) -> int:
        """How many steps of `JITTER_STEP_NS` a packet with data is late, at most `most`.

        `arrival`: when it would arrive. `at`: where in the stream its data begins; less than 0: that must not matter.
        """
        self._arrival, self._steps = arrival, most
        style = self.style
        return self.draws.aim(style.rate, most + 1, self._place(style.kind), at)

    def of_control(self, arrival: int, most: int, aims: bool) -> int:
        """The same for a datagram, or a packet without data: part of a handshake, an acknowledgement, an end.

        `aims`: whether the program notices its arrival. A connection that is there it does, but not that what it sent
        has been acknowledged.
        """
        self._arrival, self._steps = arrival, most
        style = self.style
        rate = style.rate if style.kind == ANY or aims else 0
        return self.control.aim(rate, most + 1, self._place(style.kind))

    def _place(self, kind: int) -> Callable[[int], int]:
        return self._any if kind == ANY else self._burst if kind == BURSTS else self._aimed

    def _any(self, bits: int) -> int:
        """Any lateness, short ones more often: each of a dozen magnitudes is as likely."""
        return 1 + (bits >> 4) % max(1, self._steps >> (bits & 15) % MAGNITUDES)

    def _burst(self, bits: int) -> int:
        """Up to the next multiple of the most that a packet can be late."""
        interval = self._steps * JITTER_STEP_NS
        missing: int = -self._arrival % interval
        return missing // JITTER_STEP_NS

    def _aimed(self, bits: int) -> int:
        """To an instant next to a deadline that can be reached; on time when there is none."""
        arrival = self._arrival
        latest = arrival + self._steps * JITTER_STEP_NS
        reached = [deadline for deadline in self.deadlines() if arrival < deadline <= latest]
        if not reached:
            return 0
        deadline = reached[bits % len(reached)]
        at = deadline + OFFSETS_NS[(bits >> 16) % len(OFFSETS_NS)]
        if not (bits >> 24) % 3:
            at = self._rounded(deadline) + (bits >> 26) % TURN_NS
        return min(self._steps, max(0, at - arrival) // JITTER_STEP_NS)

    def _rounded(self, deadline: int) -> int:
        """When a selector would wake for `deadline` that begins to wait now: if the sender's own loop receives this."""
        now = self.now()
        waits = -(-(deadline - now) // ROUNDED_TO_NS) * ROUNDED_TO_NS
        return now + waits
