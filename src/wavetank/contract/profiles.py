"""Profiles: how real loops differ from what is documented, as data.

Owns the table of the differences that were seen, and what each profile allows because of them. It must never hold a
difference that nobody has run. Each row of `DIFFERENCES` is a check with what it gives on CPython 3.13.0's asyncio, on
uvloop 0.23.0 and on Twisted 26.10; the conformance suite runs them.

`documented` is strict: it allows nothing but what the documentation does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wavetank.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Allowance:
    """A rule that a profile lets be broken, and when.

    `rule`: its name; `call`: only by this call (empty: by any); `tls`: only over TLS; `inside`: only by what was asked
    for inside this call; `why`: the difference that it comes from.
    """

    rule: str
    why: str
    call: str = ""
    tls: bool = False
    inside: str = ""


@dataclass(frozen=True)
class Difference:
    """One row: what is tried, and what came of it; `number` is that of the conformance suite."""

    number: int
    check: str
    cpython: str
    uvloop: str
    twisted: str


@dataclass(frozen=True)
class Profile:
    """How one family of loops behaves.

    `limits`: the default low and high water marks of a plain stream in bytes, None where it leaves them open;
    `pauses_at_high`: a buffer of exactly the high-water mark pauses, too, over TLS; `abort_resets`: the peer of an
    aborted connection sees a reset, not a clean end; `abort_reason`: what the aborting side is told (the name of an
    exception, or None); `pause_in_made`: reading paused in connection_made stays paused.
    """

    name: str
    says: str
    limits: tuple[int, int] | None = None
    pauses_at_high: bool = False
    abort_resets: bool = False
    abort_reason: str | None = None
    pause_in_made: bool = True
    allows: tuple[Allowance, ...] = ()

    def allowance(self, rule: str, call: str, *, tls: bool, inside: str) -> Allowance | None:
        """What lets `call` break `rule` here, or None: `tls` and `inside` describe the case."""
        for each in self.allows:
            if each.rule != rule or each.call not in ("", call) or each.inside not in ("", inside):
                continue
            if not each.tls or tls:
                return each
        return None

    def differences(self) -> dict[int, str]:
        """What this profile gives for each row of `DIFFERENCES`; empty for `documented`."""
        return {row.number: str(getattr(row, self.name)) for row in DIFFERENCES if hasattr(row, self.name)}


DIFFERENCES: Final[tuple[Difference, ...]] = (
    Difference(1, "pause reading inside connection_made", "honoured", "ignored: data is delivered", "honoured"),
    Difference(
        2, "abort with a full write buffer: what the peer sees",
        "what the kernel took, then a clean end", "what the kernel took, then a clean end", "a reset",
    ),
    Difference(3, "default (low, high) water marks", "(16384, 65536)", "(16, 65536)", "over 65536, resumed at 0"),
    Difference(4, 'writelines([b""]), then close', "connection_lost never comes (3.12 and later)", "ended", "ended"),
    Difference(5, "a memoryview of 4-byte items, sent in parts", "cut short, silently", "complete", "TypeError"),
    Difference(6, 'write of "", None, 0 or []', "TypeError", "accepted silently", "TypeError"),
    Difference(
        7, "connection_made raises",
        "handler told; data goes on", "handler told; open and never read", "client: connectionLost with the error",
    ),
    Difference(
        8, "write after connection_lost",
        "dropped; a warning from the fifth on", "RuntimeError: handler is closed", "dropped",
    ),
    Difference(
        9, "EOF kept open, then reading paused and resumed",
        "eof_received again", "eof_received again", "readConnectionLost again",
    ),
    Difference(
        10, "close inside resume_writing at drain", "AttributeError in the exception handler", "ended", "ended"
    ),
    Difference(
        11, "TLS: FIN without close_notify",
        "eof_received, then lost(None)", "lost(None), no eof_received", "ConnectionLost",
    ),
    Difference(
        12, "an empty datagram; sendto after close",
        "sent (3.13); AttributeError", "dropped; silent", "sent; AttributeError",
    ),
    Difference(13, "datagrams queued, then drained", "size stays, never resumed", "resumed, size 0", "no flow control"),
    Difference(
        14, "a bytearray changed after write",
        "the changed bytes are sent (3.12 and later)", "the changed bytes are sent", "TypeError",
    ),
    Difference(
        15, "read pipe, eof_received returns True", "connection_lost all the same", "stays open", "not offered"
    ),
    Difference(
        16, "Server.close and wait_closed with a client left",
        "waits (3.12 and later)", "returns at once", "not offered",
    ),
    Difference(
        17, "data_received raises an OSError",
        "dropped, nobody told", "dropped, nobody told", "logged; the reason carries it",
    ),
    Difference(18, "TLS: close twice, then get_extra_info", "AttributeError", "answered", "not offered"),
    Difference(19, "the size hint of get_buffer", "-1", "65536", "not offered"),
    Difference(
        20, "events seen when create_connection returns and the server greets at once",
        "made", "made, data", "left to time",
    ),
)  # fmt: skip

_EOF_AGAIN = "difference 9: each pause and resume of reading after EOF reports it again"

#: sslproto.SSLProtocol._start_shutdown reads on, and both directions resume each other from inside a write.
_TLS_INSIDE = "over TLS, close delivers what has arrived, and a write may resume, from inside the call"

DOCUMENTED: Final = Profile("documented", "what the documentation says, and nothing else")

CPYTHON: Final = Profile(
    "cpython",
    "asyncio's own loops, CPython 3.11 to 3.13",
    limits=(16 * 1024, 64 * 1024),
    pauses_at_high=True,
    allows=(
        Allowance("eof-once", _EOF_AGAIN),
        Allowance("pause-over-high", "sslproto pauses at, not over, the high-water mark", tls=True),
        Allowance("pause-at-once", "writelines never pauses before gh-127655", call="writelines"),
        Allowance("not-inside-a-call", _TLS_INSIDE, tls=True),
        Allowance("no-data-after-close", _TLS_INSIDE, tls=True),
        Allowance("not-inside-a-call", "a failing sendto reports from inside", call="error_received"),
        Allowance("write-after-close", "accepted while data is pending, else dropped"),
    ),
)

UVLOOP: Final = Profile(
    "uvloop",
    "uvloop 0.23",
    limits=(16, 64 * 1024),
    pauses_at_high=True,
    pause_in_made=False,
    allows=(
        Allowance("no-data-while-paused", "difference 1", inside="connection_made"),
        Allowance("eof-once", _EOF_AGAIN),
        Allowance("pause-over-high", "its sslproto pauses at, not over, the high-water mark", tls=True),
        Allowance("not-inside-a-call", _TLS_INSIDE, tls=True),
        Allowance("no-data-after-close", _TLS_INSIDE, tls=True),
        Allowance("not-inside-a-call", "a failing sendto reports from inside", call="error_received"),
        Allowance("write-after-close", "accepted while data is pending, else dropped"),
    ),
)

TWISTED: Final = Profile(
    "twisted",
    "Twisted's reactors, 26.10",
    limits=(0, 64 * 1024),
    abort_resets=True,
    abort_reason="ConnectionAborted",
    allows=(
        Allowance("eof-once", "difference 9: each resume of reading after EOF reports it again"),
        Allowance("write-after-lost", "difference 8: dropped silently"),
        Allowance("write-after-eof", "dropped silently"),
        Allowance("pipes-first", "PTYProcess calls no childConnectionLost for its terminal", call="processEnded"),
    ),
)

#: Every profile by its name.
PROFILES: Final[dict[str, Profile]] = {each.name: each for each in (DOCUMENTED, CPYTHON, UVLOOP, TWISTED)}


def profile_of(given: str | Profile) -> Profile:
    """The profile of this name, or the profile itself; UsageError when there is none."""
    if isinstance(given, Profile):
        return given
    if given not in PROFILES:
        raise UsageError(
            f"{given!r} is no profile.{did_you_mean(str(given), PROFILES)}",
            next=f"profile= one of {', '.join(PROFILES)}",
        )
    return PROFILES[given]
