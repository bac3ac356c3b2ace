"""Ancillary data of UNIX sockets: descriptors and credentials that travel with a message.

Owns packing, unpacking and their errors. A descriptor in flight holds its file; one that nobody receives is closed with
the message. Descriptors of real files are duplicated, so that the sender may close its own. Behaviour: net/core/scm.c
(`__scm_send`, `scm_recv`, `scm_detach_fds`), unix(7). Sockets that travel inside themselves are not
collected as net/unix/garbage.c would: they stay until the world ends.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final, NamedTuple

from wavetank.kernel import core
from wavetank.kernel.control import HEADER, Control
from wavetank.kernel.endpoint import MSG_CMSG_CLOEXEC, MSG_CTRUNC
from wavetank.kernel.file import File, error
from wavetank.kernel.process import FIRST_FD

SOL_SOCKET: Final = 1
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
_RIGHTS_MOST: Final = 253  # SCM_MAX_FD, include/net/scm.h
_INT: Final = 4


class Credentials(NamedTuple):
    """`struct ucred`."""

    pid: int
    uid: int
    gid: int

    def pack(self) -> bytes:
        """As the option and the control message carry it."""
        return struct.pack("iII", self.pid, self.uid, self.gid)


#: SO_PEERCRED of a socket that was never connected (`cred_to_ucred`).
NOBODY: Final = Credentials(0, 0xFFFF_FFFF, 0xFFFF_FFFF)
#: What a receiver with SO_PASSCRED sees of a message that was sent before anybody asked: /proc/sys/kernel/overflowuid.
UNKNOWN: Final = Credentials(0, 65_534, 65_534)


def mine() -> Credentials:
    """The credentials of the process that runs: its simulated pid, and the real user."""
    return Credentials(core.K.process.pid, os.getuid(), os.getgid())


class InFlight:
    """A real descriptor under way: a duplicate of the sender's."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)


Right = File | InFlight


def parse(items: list[tuple[int, int, bytes]]) -> tuple[list[Right], Credentials | None]:
    """What the sender attaches; EINVAL, EBADF, EPERM as `__scm_send`. The files are held."""
    rights: list[Right] = []
    credentials: Credentials | None = None
    try:
        for level, kind, data in items:
            if level != SOL_SOCKET:
                continue
            if kind == SCM_RIGHTS:
                _collect(data, rights)
            elif kind == SCM_CREDENTIALS:
                credentials = _checked(data)
            else:
                raise error(errno.EINVAL)
    except BaseException:
        drop(rights)
        raise
    return rights, credentials


def _collect(data: bytes, rights: list[Right]) -> None:
    count = len(data) // _INT
    if len(rights) + count > _RIGHTS_MOST:
        raise error(errno.EINVAL)
    for fd in struct.unpack(f"{count}i", data[: count * _INT]):
        file = core.K.fds.get(fd)
        if file is not None:
            file.hold()
            rights.append(file)
        elif 2 < fd < FIRST_FD:
            rights.append(InFlight(fd))
        else:
            raise error(errno.EBADF)


def _checked(data: bytes) -> Credentials:
    """`scm_check_creds`: only root may claim to be somebody else."""
    if len(data) != struct.calcsize("iII"):
        raise error(errno.EINVAL)
    given = Credentials(*struct.unpack("iII", data))
    own = mine()
    if given != own and own.uid != 0:
        raise error(errno.EPERM)
    return given


def duplicate(rights: list[Right]) -> list[Right]:
    """The same rights once more, for a receiver that only peeks."""
    copies: list[Right] = []
    for right in rights:
        if isinstance(right, InFlight):
            copies.append(InFlight(right.fd))
        else:
            right.hold()
            copies.append(right)
    return copies


def drop(rights: list[Right]) -> None:
    """Nobody gets these: close them."""
    for right in rights:
        if isinstance(right, InFlight):
            os.close(right.fd)
        else:
            right.release()
    rights.clear()


def put_rights(control: Control, rights: list[Right], flags: int) -> None:
    """`scm_detach_fds`: as many descriptors as fit; the others are closed."""
    fit = max(0, (control.left - HEADER) // _INT)
    numbers: list[int] = []
    while rights and len(numbers) < fit:
        try:
            numbers.append(_install(rights[0], bool(flags & MSG_CMSG_CLOEXEC)))
        except OSError:
            break  # no descriptor is free: the rest is lost, as on Linux
        del rights[0]
    if rights:
        control.flags |= MSG_CTRUNC
        drop(rights)
    if numbers:
        control.put(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(numbers)}i", *numbers))


def _install(right: Right, close_on_exec: bool) -> int:
    if isinstance(right, InFlight):
        os.set_inheritable(right.fd, not close_on_exec)
        return right.fd
    process = core.K.process
    fd = process.install(right)
    right.release()  # the message's reference; the descriptor has its own
    if not close_on_exec:
        process.inheritable.add(fd)
    return fd
