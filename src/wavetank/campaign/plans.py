"""From a seed to a plan: which faults this run has, and how strong they are.

Owns the draw. It is a pure function of the seed, the families and the hosts; it never runs anything.

The idea is swarm testing (Groce, Zhang, Eide, Chen and Regehr, ISSTA 2012): each run switches on a random part of the
families, for a fault that is always there hides what another one shows. Each fault has its own strength, as likely
between 1 and 10 as between 10 and 100. Each value is drawn by its own key, so that a family left out moves no other.
The mild families stay within what keeps TCP's promises and ordinary timeouts: the bounds stand below; the kernel
bounds the sum of the delays besides. The stronger families are `strong`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wavetank.campaign import strong
from wavetank.campaign.values import Draws
from wavetank.faults import (
    FAMILIES,
    AnyFault,
    Bandwidth,
    Buffers,
    Latency,
    Loss,
    Scheduling,
    Segments,
    SlowReader,
)
from wavetank.plan import Plan

_KIB: Final = 1024
#: The drawn faults delay one request and its reply, handshake included, by at most this in total.
DELAY_LIMIT_S: Final = 1.0
# Bounds of the mild faults, weakest and strongest.
DELAY_S: Final = (0.000_1, 0.050)
JITTER_S: Final = (0.000_1, 0.100)
LONG_JITTER_S: Final = (0.020, 0.400)  # reaches the deadlines that programs set themselves, see network.lateness
BYTES_PER_S: Final = (64 * _KIB, 16 * _KIB * _KIB)
OUT_OF_TURN: Final = (0.01, 0.5)
SEGMENT_BYTES: Final = (1, 1460)  # 1460: the MSS of Ethernet, RFC 9293 section 3.7.1
BUFFER_BYTES: Final = (2304, 64 * _KIB)  # 2304: SOCK_MIN_RCVBUF of Linux (include/net/sock.h) on 64-bit machines
LOSS_RATE: Final = (0.001, 0.05)
#: One plan in so many is empty whatever the families: the calm world with this seed's randomness must work, too.
EMPTY_IN: Final = 16


def _timing(draws: Draws, hosts: Sequence[str]) -> list[AnyFault]:
    faults: list[AnyFault] = []
    if draws.yes("latency", 0.75):
        bounds = LONG_JITTER_S if draws.yes("long jitter", 0.5) else JITTER_S
        jitter_s = draws.between("jitter", bounds) if draws.yes("jitter?", 0.75) else 0.0
        faults.append(Latency(delay_s=draws.between("delay", DELAY_S), jitter_s=jitter_s))
    if draws.yes("bandwidth", 0.25):
        faults.append(Bandwidth(bytes_per_s=int(draws.between("bandwidth is", BYTES_PER_S))))
    if draws.yes("scheduling", 0.5) or not faults:
        faults.append(Scheduling(rate=draws.between("out of turn", OUT_OF_TURN)))
    return faults


def _segments(draws: Draws, hosts: Sequence[str]) -> list[AnyFault]:
    return [Segments(max_bytes=int(draws.between("segment", SEGMENT_BYTES)))]


def _buffers(draws: Draws, hosts: Sequence[str]) -> list[AnyFault]:
    send, receive = (int(draws.between(key, BUFFER_BYTES)) for key in ("send buffer", "receive buffer"))
    return [Buffers(send_bytes=send, receive_bytes=receive)]


def _slow_reader(draws: Draws, hosts: Sequence[str]) -> list[AnyFault]:
    side = draws.pick("slow side", ("*", "connecting", "accepting"))
    return [SlowReader(bytes_per_s=int(draws.between("reader", BYTES_PER_S)), target=side)]


def _loss(draws: Draws, hosts: Sequence[str]) -> list[AnyFault]:
    return [Loss(rate=draws.between("loss", LOSS_RATE), of="segments")]


_FAMILY: Final[dict[str, Callable[[Draws, Sequence[str]], list[AnyFault]]]] = {
    "timing": _timing,
    "segments": _segments,
    "buffers": _buffers,
    "slow-reader": _slow_reader,
    "loss": _loss,
    **strong.FAMILY,
}
assert set(_FAMILY) == set(FAMILIES), "a family that no plan can have"


def applicable(families: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """Those of `families` that mean something in a world with these hosts."""
    return tuple(name for name in families if FAMILIES[name].least_hosts <= max(1, len(hosts)))


def untried(families: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """The families stronger than mild that were not asked for, and may mean something; no hosts: they are not known."""
    stronger = [name for name, family in FAMILIES.items() if not family.mild and name not in families]
    return applicable(stronger, hosts) if hosts else tuple(stronger)


def plan_for(seed: int, families: Sequence[str], epoch_s: int, hosts: Sequence[str] = ()) -> Plan:
    """The plan of the run with this `seed`: some of the faults of `families`, and choices drawn from the seed.

    `families` are names of `wavetank.faults.FAMILIES`; `hosts` are the names of the world's hosts, for the families
    that aim at hosts (the others need none). `epoch_s`: seconds since 1970 (UTC) at which the virtual clock starts.
    The same arguments give the same plan, in every version of Python and on every machine.
    """
    draws = Draws(seed)
    faults: list[AnyFault] = []
    if not draws.yes("empty", 1 / EMPTY_IN):
        for name in FAMILIES:
            if name in applicable(families, hosts) and draws.yes(f"family {name}", 0.5):
                faults += _FAMILY[name](draws, hosts)
    return Plan(seed=seed, epoch_s=epoch_s, faults=tuple(faults), delay_limit_s=DELAY_LIMIT_S)
