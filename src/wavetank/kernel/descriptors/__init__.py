"""The descriptor calls as programs see them: `os`, `open`, `fcntl`, `resource`, `termios` on simulated descriptors.

In `table`: what a number means, and waiting; in `calls` the calls of `os` that work; in `refused` those that Linux
itself refuses there, and those that are not simulated; in `transfer` sendfile and splice; in `control` fcntl, ioctl and
limits; in `files` `open` and `FileIO`; in `paths` calls that take a path, as far as it means a UNIX socket.

Simulated descriptors lie above every real one, so a call on a real one costs one comparison of integers more. The
standard streams 0, 1 and 2 are simulated too. What is opened on the real disk keeps its real descriptor: the two kinds
never share a number, so `dup2` onto a number below `process.FIRST_FD` works for the standard streams only, and a
closed standard stream's number is not given out again.
"""

from __future__ import annotations

from wavetank.kernel.descriptors import calls, control, files, paths, refused
from wavetank.kernel.descriptors.table import protect

__all__ = ["install", "protect"]


def install() -> None:
    """Put the calls in the place of the real ones."""
    protect()
    calls.install()
    refused.install()
    paths.install()
    control.install()
    files.install()
