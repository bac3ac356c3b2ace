"""Faults of the network between programs: what a line, a router or a peer's machine may do to what travels.

Owns these words, their validity and their text. How they are carried out is the network's and the kernel's.

Where they come from: what netem (tc-netem(8)) does to packets, what setsockopt bounds (socket(7): SO_SNDBUF,
SO_RCVBUF), what RFC 9293 lets a network do to TCP segments, what middleboxes and peers do to connections.
"""

from __future__ import annotations

from typing import Final

from wavetank.errors import PlanError
from wavetank.faults.base import (
    MAX_SECONDS,
    Fault,
    bytes_text,
    check_number,
    check_size,
    check_word,
    percent,
    seconds_text,
)
from wavetank.faults.target import SIDES, parse_end

#: What `Loss.of` may say.
LOSSES: Final = ("all", "segments", "datagrams")
#: What `NameFailure.kind` may say, with its text.
NAME_FAILURES: Final = {
    "not-found": "is not known",
    "try-again": "fails for now",
    "slow": "is slow",
}
#: A resolver asks again after so long (resolv.conf(5), `timeout`): what one lost question costs.
LOOKUP_TIMEOUT_S: Final = 5.0


class Latency(Fault, frozen=True, tag="latency"):
    """Everything on the link takes `delay_s` longer, and up to `jitter_s` more, drawn for each packet.

    Order within one TCP connection stays. Source: tc-netem(8), `delay TIME JITTER`.
    """

    delay_s: float
    jitter_s: float = 0.0

    def check(self) -> None:
        """Both are seconds, 0 or more."""
        check_number(self, "delay_s", MAX_SECONDS, zero=True)
        check_number(self, "jitter_s", MAX_SECONDS, zero=True)

    def phrase(self) -> str:
        """As in `latency 50 ms, jitter 10 ms`."""
        jitter = f", jitter {seconds_text(self.jitter_s)}" if self.jitter_s else ""
        return f"latency {seconds_text(self.delay_s)}{jitter}"


class Bandwidth(Fault, frozen=True, tag="bandwidth"):
    """The link carries at most `bytes_per_s`, headers not counted. Source: tc-netem(8), `rate`."""

    bytes_per_s: int

    def check(self) -> None:
        """A speed of 1 or more."""
        check_size(self, "bytes_per_s")

    def phrase(self) -> str:
        """As in `bandwidth 1000 bytes/s`."""
        return f"bandwidth {bytes_text(self.bytes_per_s)}/s"


class Segments(Fault, frozen=True, tag="segments"):
    """Bytes arrive cut into pieces, each piece's size drawn; late readers see joined pieces.

    `max_bytes`: the most that is cut off at random. Some flows are cut one byte at a time, and in some the cuts aim
    next to ends of lines and borders of writes, wherever these are.

    Source: RFC 9293 section 3.8: TCP keeps no borders of writes, a segment may be of any size down to one byte.
    """

    max_bytes: int

    def check(self) -> None:
        """A size of 1 or more."""
        check_size(self, "max_bytes")

    def phrase(self) -> str:
        """As in `segments of at most 17 bytes`."""
        return f"segments of at most {bytes_text(self.max_bytes)}"


class Buffers(Fault, frozen=True, tag="buffers"):
    """Sockets have small buffers: at most `send_bytes` unsent and `receive_bytes` unread.

    Source: socket(7), SO_SNDBUF and SO_RCVBUF, which the fault bounds whatever the program asks for.
    """

    send_bytes: int
    receive_bytes: int

    def check(self) -> None:
        """Sizes of 1 or more."""
        check_size(self, "send_bytes")
        check_size(self, "receive_bytes")

    def phrase(self) -> str:
        """As in `buffers of 4096 bytes to send, 2048 bytes to receive`."""
        return f"buffers of {bytes_text(self.send_bytes)} to send, {bytes_text(self.receive_bytes)} to receive"


class SlowReader(Fault, frozen=True, tag="slow-reader"):
    """The reading side takes at most `bytes_per_s` out of its socket, so that the window closes before the sender.

    Source: RFC 9293 section 3.8.6 (managing the window).
    """

    bytes_per_s: int

    def check(self) -> None:
        """A speed of 1 or more."""
        check_size(self, "bytes_per_s")

    def phrase(self) -> str:
        """As in `slow reader, 1000 bytes/s`."""
        return f"slow reader, {bytes_text(self.bytes_per_s)}/s"


class Loss(Fault, frozen=True, tag="loss"):
    """Each packet is lost with probability `rate`, 0 to 1.

    A lost TCP segment costs time, never bytes (RFC 6298, RFC 9293); a lost datagram is gone. `of`: "all", "segments"
    (of TCP) or "datagrams" (of UDP). Source: tc-netem(8), `loss random`.
    """

    rate: float
    of: str = "all"

    def check(self) -> None:
        """A probability, and of what."""
        check_number(self, "rate", 1.0, zero=True)
        check_word(self, "of", LOSSES)

    def phrase(self) -> str:
        """As in `loss of 5 %`, or `loss of 5 % of datagrams`."""
        return f"loss of {percent(self.rate)}{'' if self.of == 'all' else f' of {self.of}'}"


class Partition(Fault, frozen=True, tag="partition"):
    """Nothing passes between the hosts `a` and `b` ("*": every other host), nor is anybody told.

    With `one_way` only what `a` sends to `b` is lost. `target` stays "*": the two hosts are the target.
    """

    a: str
    b: str
    one_way: bool = False

    def check(self) -> None:
        """Two different hosts, without ports, sides or a target of its own."""
        if self.target != "*":
            raise PlanError("partition: takes no target", why="the hosts a and b are what it aims at")
        if not isinstance(self.one_way, bool):
            raise PlanError(f"partition: one_way must be true or false, not {self.one_way!r}")
        for field in ("a", "b"):
            host = getattr(self, field)
            if not isinstance(host, str):
                raise PlanError(f"partition: {field} must be the name of a host, not {host!r}")
            end = parse_end(host, host)
            if end.port or end.name in SIDES:
                raise PlanError(f"partition: {field} must be the name of a host, not {host!r}")
        if self.a == self.b:
            raise PlanError(f"partition: a and b are both {self.a!r}", why="a host is not cut off from itself")

    def phrase(self) -> str:
        """As in `partition client | server`, or with `->` when one-way."""
        return f"partition {self.a} {'->' if self.one_way else '|'} {self.b}"


class Reset(Fault, frozen=True, tag="reset"):
    """The connection is reset: both ends get RST, as from a middlebox that has forgotten it (RFC 5961, RFC 9293 3.5.2).

    `after_bytes`: how many bytes of the stream, in the direction of the target (either one, when it has none), pass
    before that; what is on the way up to there still arrives. Every connection that reaches it while the fault lasts is
    reset. 0 (the default) means at once: the connections that are open when the fault begins or, when there are none,
    the next one to be opened; with `duration_s`, each that is opened in that time, too.
    """

    after_bytes: int = 0

    def check(self) -> None:
        """A number of bytes, 0 or more."""
        check_size(self, "after_bytes", least=0)

    def phrase(self) -> str:
        """As in `reset`, or `reset after 17 bytes`."""
        return f"reset{_after(self.after_bytes)}"


class Eof(Fault, frozen=True, tag="eof"):
    """The stream comes to an orderly end, as if the other side had closed. Counts bytes as `Reset` does.

    With a direction as its target only that direction ends (a half close): its reader gets the end of the stream, what
    is written there later gets lost, and answers still come back. Otherwise both ends get the end of their streams, and
    what they write later draws RST, as from a proxy that has closed both its sockets. Source: RFC 9293 section 3.6.
    """

    after_bytes: int = 0

    def check(self) -> None:
        """A number of bytes, 0 or more."""
        check_size(self, "after_bytes", least=0)

    def phrase(self) -> str:
        """As in `end of stream`, or `end of stream after 17 bytes`."""
        return f"end of stream{_after(self.after_bytes)}"


class Stall(Fault, frozen=True, tag="stall"):
    """The reading side stops reading and keeps what it has: its buffer fills, and the window closes.

    What it has not read by then, the end of the stream included, it gets when the fault is healed.
    Source: RFC 9293 section 3.8.6 (managing the window).
    """

    def phrase(self) -> str:
        """`stalled reader`."""
        return "stalled reader"


class Drop(Fault, frozen=True, tag="drop"):
    """Packets vanish and nobody is told: the connection is half-open until it is healed, or given up.

    TCP asks again and again: ETIMEDOUT after about 15 minutes (tcp(7), tcp_retries2). Source: a cable that is pulled.
    """

    def phrase(self) -> str:
        """`packets vanish`."""
        return "packets vanish"


class Refuse(Fault, frozen=True, tag="refuse"):
    """New connections are refused: ECONNREFUSED after a round trip, as when nobody listens. Open ones go on.

    Source: RFC 9293 section 3.10.7.1: a SYN to a closed port draws RST.
    """

    def phrase(self) -> str:
        """`connections are refused`."""
        return "connections are refused"


class NameFailure(Fault, frozen=True, tag="name-failure"):
    """Looking up names fails: `kind` is "not-found" (EAI_NONAME), "try-again" (EAI_AGAIN) or "slow".

    A slow lookup takes `delay_s` longer and then succeeds. As a target a host is the one that asks, and
    `client -> server` means questions of client for the name server. Literal addresses, `localhost` and a host's own
    name need no name server and never fail. Source: getaddrinfo(3), resolv.conf(5).
    """

    kind: str
    delay_s: float = LOOKUP_TIMEOUT_S

    def check(self) -> None:
        """A kind, and seconds, more than 0."""
        check_word(self, "kind", NAME_FAILURES)
        check_number(self, "delay_s", MAX_SECONDS, zero=False)
        if self.kind != "slow" and self.delay_s != LOOKUP_TIMEOUT_S:
            raise PlanError(f"name-failure: delay_s is for the kind 'slow', not for {self.kind!r}")
        aim = self.aim
        ends = [end for end in (aim.first, aim.second) if end is not None]
        if aim.both_ways or aim.ordinal or any(end.port or end.name in SIDES for end in ends):
            what = f"name-failure: the target must be '*', one host, or 'HOST -> NAME', not {self.target!r}"
            raise PlanError(what, why="who asks, and for which name")

    def phrase(self) -> str:
        """As in `looking up names is slow, 5 s`."""
        delay = f", {seconds_text(self.delay_s)}" if self.kind == "slow" else ""
        return f"looking up names {NAME_FAILURES[self.kind]}{delay}"


class Duplicate(Fault, frozen=True, tag="duplicate"):
    """Each datagram arrives twice with probability `rate`, 0 to 1. Source: tc-netem(8), `duplicate`."""

    rate: float

    def check(self) -> None:
        """A probability."""
        check_number(self, "rate", 1.0, zero=True)

    def phrase(self) -> str:
        """As in `5 % of datagrams arrive twice`."""
        return f"{percent(self.rate)} of datagrams arrive twice"


class Reorder(Fault, frozen=True, tag="reorder"):
    """Each datagram is overtaken by later ones with probability `rate`, 0 to 1. Source: tc-netem(8), `reorder`."""

    rate: float

    def check(self) -> None:
        """A probability."""
        check_number(self, "rate", 1.0, zero=True)

    def phrase(self) -> str:
        """As in `5 % of datagrams are overtaken`."""
        return f"{percent(self.rate)} of datagrams are overtaken"


class Truncate(Fault, frozen=True, tag="truncate"):
    """Datagrams arrive cut to at most `max_bytes`: a broken middlebox, with the checksum put right."""

    max_bytes: int

    def check(self) -> None:
        """A size, 0 or more."""
        check_size(self, "max_bytes", least=0)

    def phrase(self) -> str:
        """As in `datagrams cut to 17 bytes`."""
        return f"datagrams cut to {bytes_text(self.max_bytes)}"


def _after(size: int) -> str:
    return f" after {bytes_text(size)}" if size else ""
