"""Checks a protocol: whether it does the same however its input is cut, ended and held up.

Owns the public names, and nothing else. `check_protocol` tries everything and raises `CheckFailed`; `play` makes one
run; `Conversation` is what a peer says; `SansIO` adapts objects that do no I/O.
"""

from wavetank.check.api import check_protocol, play
from wavetank.check.conversation import Conversation
from wavetank.check.outcome import Outcome, Problem
from wavetank.check.sansio import SansIO
from wavetank.errors import CheckFailed

__all__ = ["CheckFailed", "Conversation", "Outcome", "Problem", "SansIO", "check_protocol", "play"]
