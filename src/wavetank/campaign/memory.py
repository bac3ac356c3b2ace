"""Making the shared memory and the descriptors of an image: the parent's handles on the system.

Owns the calls to Linux that start an image: memfd, pipes, posix_spawn. It knows nothing of jobs and results.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import sys
from typing import Any, Final, cast

from wavetank.campaign.image import CAPTURE_FD, CONTROL_FD, ENVIRONMENT, LAST_FD, MEMORY_FD, PATH_AT, REPLY_FD
from wavetank.errors import EnvironmentProblem
from wavetank.world.mailbox import MEMORY_BYTES, SLOTS

# The first entry of the path is where this Wavetank is, wherever that may be; the others are for the image's sys.path.
_BOOT: Final = (
    "import os, sys; "
    f"sys.path.insert(0, os.pread({MEMORY_FD}, 4096, {PATH_AT}).split(b'\\0')[0].decode('utf-8', 'surrogateescape')); "
    "from wavetank.campaign.image import main; main()"
)


def shared_memory() -> tuple[int, mmap.mmap]:
    """A sparse memory file of the size that every image has, and its mapping."""
    try:
        number = os.memfd_create("wavetank", os.MFD_CLOEXEC)
        os.ftruncate(number, MEMORY_BYTES)
        return number, mmap.mmap(number, MEMORY_BYTES)
    except OSError as error:
        what = f"no shared memory for the runs: {error.strerror}"
        raise EnvironmentProblem(what, why=f"{MEMORY_BYTES >> 20} MiB are mapped, few of them used") from None


def spawn(memory_fd: int, control_fd: int, reply_fd: int, capture_fds: list[int]) -> int:
    """Start an image with these descriptors; returns its process id."""
    placed = {control_fd: CONTROL_FD, reply_fd: REPLY_FD, memory_fd: MEMORY_FD}
    placed |= {number: CAPTURE_FD + slot for slot, number in enumerate(capture_fds)}
    assert len(capture_fds) <= SLOTS, "more captures than slots"
    # By way of numbers above all of them, so that none is overwritten before it was copied.
    above = max(LAST_FD, *placed) + 1
    _allow_descriptors(above + len(placed))
    actions: list[tuple[int, ...]] = []
    for index, number in enumerate(placed):
        actions.append((os.POSIX_SPAWN_DUP2, number, above + index))
    for index, place in enumerate(placed.values()):
        actions.append((os.POSIX_SPAWN_DUP2, above + index, place))
    for index in range(len(placed)):
        actions.append((os.POSIX_SPAWN_CLOSE, above + index))
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-s", "-S", "-P", "-c", _BOOT],  # -S: see `image._begin_site`
        ENVIRONMENT,
        file_actions=cast(Any, actions),  # typeshed knows one shape of an action
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, 32, 33},  # 32, 33: glibc's own
    )


def _allow_descriptors(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise EnvironmentProblem(
                f"only {hard} open files are allowed", why=f"{needed} are needed", next=f"ulimit -n {needed}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def close_all(numbers: list[int]) -> None:
    """Close these descriptors, whatever became of them."""
    for number in numbers:
        with contextlib.suppress(OSError):
            os.close(number)
