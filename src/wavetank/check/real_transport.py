"""One run on the interpreter's own transport: what it holds for a peer that never reads.

Owns that run. It must never be used for anything that the double can show: real buffers are large and their sizes the
kernel's.

The idea: back-pressure is kept by two, the protocol that stops when it is asked to and the transport that asks. The
double always asks; asyncio's own may not (`writelines` of 3.12 and 3.13.0 does not, gh-127655). So the protocol is also
given asyncio's own transport, on a socket pair that nobody reads, with the loop's time virtual as ever.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from typing import Any, Final

from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.script import PATIENCE_S, QUIET

#: What the transport may hold, in bytes, beside the longest piece of a sane program: 16 times its high-water mark.
BOUND_BYTES: Final = 2**20
#: So many timers are waited for.
_MOST_TIMERS: Final = 2_000


def never_read_script(
    loop: Any, make: Callable[[], Generator[Any, Any, Any]], conversation: Conversation, outcome: Outcome
) -> Generator[Any, Any, None]:
    """Say all of the conversation to a protocol on asyncio's own transport, and read nothing."""
    protocol = yield from make()
    if protocol is None:
        return
    theirs, ours = socket.socketpair()
    theirs.setblocking(False)
    ours.setblocking(False)
    transport = loop._make_socket_transport(theirs, protocol)
    try:
        yield QUIET
        for turn in conversation.turns:
            for message in turn.messages:
                _send(ours, message)
                yield QUIET
        until = loop.time() + PATIENCE_S
        for _ in range(_MOST_TIMERS):
            if not (yield until):
                break
        size = transport.get_write_buffer_size()
        outcome.most_held = size
        if size > BOUND_BYTES:
            asked = "was asked to pause" if transport._protocol_paused else "was never asked to pause"
            outcome.problems.append(
                Problem(
                    "buffer",
                    f"{size:,} bytes wait in asyncio's own transport of a peer that does not read",
                    f"the protocol {asked}; this run was on the interpreter's own transport, on a socket pair",
                )
            )
    finally:
        transport.abort()
        ours.close()
        yield QUIET


def _send(ours: socket.socket, data: bytes) -> None:
    """As much as the kernel takes; a protocol that has stopped reading is not waited for."""
    try:
        while data:
            data = data[ours.send(data) :]
    except (BlockingIOError, ConnectionError):
        pass
