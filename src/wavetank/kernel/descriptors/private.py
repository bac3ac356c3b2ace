"""The name of the folder that a run has for itself, with its `HOME`, its `TMPDIR` and perhaps its working folder.

Owns that name. The folder is made anew for each session, somewhere below the machine's own folder for temporary files;
a program is told a path through a descriptor that the run has open, which is the same in each run. Linux would resolve
it to the real one, which is not: two runs would have other strings, and with them other orders of sets, and a program
that compares a resolved path with a given one would find them different, as it does not in `/tmp`. So the descriptor
is shown as a folder and not as a link, and so is `/proc/self` on the way to it.

Must never touch a path that leads elsewhere. Limit: `os.readlink`, and what `/proc` shows of open files, still tell
the real name.
"""

from __future__ import annotations

import posix
from typing import Any, Final

#: As `campaign.image` opens it (HOME_FD); a test holds the two together.
NAME: Final = "/proc/self/fd/199"
_readlink: Final = posix.readlink  # from before it was replaced
#: Links on the way, and at its end.
_LINKS: Final[frozenset[str | bytes]] = frozenset(("/proc/self", NAME, b"/proc/self", NAME.encode()))


def is_passed(path: Any) -> bool:
    """Whether this is one of the links that are shown as folders: `path` as a program gives it."""
    return path.__class__ in (str, bytes) and path in _LINKS and _resolved() is not None


def named(path: str) -> str:
    """A real path, with the folder's own name if it is in that."""
    resolved = _resolved()
    if resolved is None or not f"{path}/".startswith(f"{resolved}/"):
        return path
    return NAME + path[len(resolved) :]


def _resolved() -> str | None:
    """Where the folder is; None if nobody has opened one."""
    try:
        return _readlink(NAME)
    except OSError:
        return None
