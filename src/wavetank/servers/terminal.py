"""A server's standard input: nothing, a pipe, or a terminal of its own.

Owns how each is made. Decides nothing.

Source: null(4), pipe(7), pty(7), termios(3).
"""

from __future__ import annotations

import os
import termios


def open_stdin(kind: str) -> tuple[int, int]:
    """The server's end and ours (-1 where there is none) of a `null`, `pipe` or `terminal` input."""
    if kind == "null":
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
    if kind == "pipe":
        return os.pipe()
    ours, theirs = os.openpty()
    # No echo: nobody reads what would come back, and a full terminal would block us.
    attributes = termios.tcgetattr(theirs)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    return theirs, ours
