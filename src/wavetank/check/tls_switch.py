"""A protocol that switches to TLS in the middle of a connection (STARTTLS): what was sent in clear must not act inside.

Owns the peer's side of such a switch: a TLS client without certificates to check, on two buffers in memory. It must
never judge: it notes what the protocol said inside TLS before it was asked anything there.

The idea: whoever sits on the line can put commands behind STARTTLS in the same segment. They must be dropped, or end
the connection (RFC 3207 section 4.2: "the server MUST discard any knowledge obtained from the client ... not obtained
from the TLS negotiation itself"; CVE-2011-0411 is the first of many). So the protocol is given them, TLS begins, and
what it says then is compared with a run in which nothing was put behind.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final

from wavetank.check.conversation import Conversation, Turn
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.schedule import Schedule, cut_at

#: So many flights, there and back, are enough for every handshake.
_FLIGHTS: Final = 10


class PeerTLS:
    """The peer's TLS: a client on two buffers."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self.begun = False
        self.failed = False
        self.heard = b""

    def take(self, data: bytes) -> bytes:
        """What came over the line; returns what is to be sent."""
        self._incoming.write(data)
        try:
            if not self.begun:
                self._tls.do_handshake()
                self.begun = True
            while data := self._tls.read(65536):
                self.heard += data
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, OSError):
            self.failed = True
        return self._outgoing.read()


def switch_script(line: Any, outcome: Outcome, quiet: object) -> Generator[Any, Any, None]:
    """Begin TLS on a line whose protocol waits for it, and listen; `outcome.inside_tls` is what was said, or None."""
    yield quiet
    peer = PeerTLS()
    mark = line.output_bytes
    for _ in range(_FLIGHTS):
        answer = peer.take(line.output[mark:])
        mark = line.output_bytes
        if peer.failed or line.over:
            break
        if answer:
            line.say(answer)
        yield quiet
    peer.take(line.output[mark:])
    outcome.inside_tls = peer.heard if peer.begun and not peer.failed else None


def schedules(conversation: Conversation, at: int) -> tuple[Conversation, Schedule, Conversation, Schedule]:
    """Two runs for a protocol that switches with the byte before `at`: nothing put behind it, and something."""
    data = conversation.data
    behind = data[at:] or next(turn.messages[0] for turn in conversation.turns if turn.messages)
    clean = Conversation((Turn((data[:at],)),), conversation.name)
    injected = Conversation((Turn((data[:at] + behind,)),), conversation.name)
    ends = accumulate(len(message) for turn in conversation.turns for message in turn.messages)
    cuts = [end for end in ends if end < at]
    return (
        clean,
        replace(cut_at(clean, cuts), end="tls"),
        injected,
        replace(cut_at(injected, cuts), end="tls"),
    )


def injected_problem(clean: Outcome, injected: Outcome) -> Problem | None:
    """What the second run shows: None when it fails, or nothing differs."""
    if clean.inside_tls is None or injected.inside_tls is None or clean.problems or injected.problems:
        return None
    differing = injected.inside_tls != clean.inside_tls
    if not differing and "observed" not in injected.differences(clean):
        return None
    said = f"inside TLS, before anything was sent there: {injected.inside_tls!r}" if differing else ""
    return Problem(
        "injection",
        "what stood behind the switch to TLS, in clear and in the same piece, is acted on inside TLS",
        said or "what was observed differs from a run without it",
    )
