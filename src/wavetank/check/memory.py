"""What a protocol holds in memory for a peer that sends faster than it is answered.

Owns one measurement: a conversation of some size is delivered while no time passes, so whoever handles it has had no
time to; a protocol that neither stops reading nor bounds what it keeps holds all of it, many times over.

The idea: memory is counted by tracemalloc, so the measure is that of Python's objects, not of the process; it is taken
when nothing is left to do at that time. What the protocol has written is not counted.
"""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.schedule import joined

if TYPE_CHECKING:
    from wavetank.check.search import Ground

#: A conversation below this size cannot show anything, in bytes.
_LEAST_BYTES: Final = 64 * 1024
#: What is held may be so much, or so many times what was taken, whichever is more: a protocol that collects one large
#: message holds about once its size.
_BOUND_BYTES: Final = 4 * 2**20
_BOUND_TIMES: Final = 8
#: So much arrives between two looks of the loop.
_PIECE_BYTES: Final = 16 * 1024


def held_memory(ground: Ground, conversation: Conversation) -> Outcome | None:
    """The outcome of the measurement, with a problem if too much is held; None for a conversation that is too short."""
    if len(conversation.data) < _LEAST_BYTES:
        return None
    schedule = replace(joined(conversation, _PIECE_BYTES), pace="together", end="flood")
    gc.collect()
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    try:
        outcome = ground.run(conversation, schedule)
    finally:
        if started:
            tracemalloc.stop()
    bound = max(_BOUND_BYTES, _BOUND_TIMES * outcome.taken)
    if not outcome.problems and outcome.held_memory_bytes > bound:
        outcome.problems.append(
            Problem(
                "buffer",
                f"{outcome.held_memory_bytes:,} bytes of memory are held for {outcome.taken:,} bytes of input",
                "the input came faster than it was answered, and the protocol went on taking it: it should stop"
                " reading (pause_reading), or drop the peer",
            )
        )
    return outcome
