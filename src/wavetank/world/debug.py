"""Looking at a failure with `pdb`: post mortem, in the child of the run, on the terminal of the command.

Owns the way to that terminal: the child has none of its own, since its image belongs to a session of its own and reads
from nowhere. Used when the world has stopped and its digest is made, so that looking changes nothing.
"""

from __future__ import annotations

import os
import pdb
from typing import Final

from wavetank.world import places

#: Parents between a run and the command: the image.
_GENERATIONS: Final = 2
NO_TERMINAL: Final = "--pdb: standard input is no terminal"


def post_mortem(error: BaseException) -> str | None:
    """Let the user look at where `error` was raised. Returns why not, when that is not possible."""
    try:
        with open(_terminal_of_the_command()) as reading, open(_terminal_of_the_command(), "w") as writing:
            if not (reading.isatty() and writing.isatty()):
                return NO_TERMINAL
            writing.write(f"{places.format_exception(error)}\n")
            debugger = pdb.Pdb(stdin=reading, stdout=writing, nosigint=True)
            debugger.prompt = "(wavetank pdb) "
            debugger.reset()
            debugger.interaction(None, error.__traceback__)  # as pdb.post_mortem calls it
    except OSError as problem:
        return f"--pdb: {problem.strerror}"
    return None


def _terminal_of_the_command() -> str:
    pid = "self"
    for _ in range(_GENERATIONS):
        with open(f"/proc/{pid}/status") as file:
            pid = next(line.split()[1] for line in file if line.startswith("PPid:"))
    return os.path.realpath(f"/proc/{pid}/fd/0")
