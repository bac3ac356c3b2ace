"""Nothing leaves: what keeps a run from the real network, from real processes, and from signalling others.

Owns the two nets under a run. The *filter* (seccomp(2), classic BPF) makes the kernel itself answer EPERM to the
system calls that lead out, whoever makes them: a C library, ctypes, an event loop of its own. The *audit hook* (PEP
578) is in front of it for Python code: it raises an error that names the call, the reason and the way to allow it.
Must never hinder what stays inside: memory, files, threads of C libraries, signals to the process itself.

The filter can neither be taken away again nor loosened, so it is installed in the child of one run, never in the
image (0.6 ms in a fresh fork; each real system call then costs some 40 ns more). It is no sandbox against malice:
files are the real ones, and a descriptor that was open before can still be read and written.

What is allowed by name (`--allow`) opens the whole *group* of system calls behind that name, since the filter cannot
tell who calls. Sources: linux/seccomp.h, linux/audit.h, linux/filter.h, asm/unistd_64.h and asm-generic/unistd.h of
Linux 6.12; docs.python.org, "Audit events table".
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from errno import EINVAL, ENOSYS, EPERM, ESRCH
from functools import cache
from typing import Any, Final, NamedTuple

from wavetank.errors import NotSimulatedOSError
from wavetank.kernel import core, refusals

NETWORK: Final = "network"
PROCESSES: Final = "processes"
OTHERS: Final = "others"

# ---- which system calls lead out


class _Machine(NamedTuple):
    """One architecture: its mark in the filter's input, and the numbers of its system calls."""

    arch: int
    seccomp: int
    numbers: dict[str, int]


_COMMON: Final = {"pidfd_send_signal": 424, "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438}
_MACHINES: Final = {
    "x86_64": _Machine(
        0xC000003E,  # AUDIT_ARCH_X86_64
        317,
        {
            "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
            "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101,
            "rt_sigqueueinfo": 129, "tkill": 200, "tgkill": 234, "accept4": 288, "rt_tgsigqueueinfo": 297,
            "sendmmsg": 307, "process_vm_readv": 310, "process_vm_writev": 311, "execveat": 322,
        } | _COMMON,
    ),
    "aarch64": _Machine(
        0xC00000B7,  # AUDIT_ARCH_AARCH64
        277,
        {
            "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206,
            "sendmsg": 211, "accept4": 242, "sendmmsg": 269, "clone": 220, "execve": 221, "execveat": 281, "kill": 129,
            "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271,
        } | _COMMON,
    ),
}  # fmt: skip
#: Groups of system calls that are refused whatever their arguments. io_uring opens sockets without socket(2).
_DENIED: Final = {
    NETWORK: (
        "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
        "io_uring_setup",
    ),
    PROCESSES: ("execve", "execveat", "fork", "vfork"),
    OTHERS: ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"),
}  # fmt: skip
#: Signals, allowed to the process itself: its number is the first argument (a thread's, for tkill, in the main thread).
_SIGNALS: Final = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")

# ---- the filter

# linux/bpf_common.h: load a word, jump if equal, if not less, if a bit is set, return.
_LOAD, _EQUAL, _NOT_LESS, _BIT_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW: Final = 0x7FFF0000  # SECCOMP_RET_ALLOW
_ERRNO: Final = 0x00050000  # SECCOMP_RET_ERRNO
# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]. Both machines are little-endian.
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_X32_BIT: Final = 0x40000000  # __X32_SYSCALL_BIT: the same calls under other numbers
_CLONE_THREAD: Final = 0x00010000  # linux/sched.h
_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2  # linux/seccomp.h
#: SECCOMP_FILTER_FLAG_TSYNC: threads that C libraries started before are filtered, too. SPEC_ALLOW (since Linux 4.17):
#: without it, kernels before 5.16 slow down the whole process (speculative store bypass).
_TSYNC, _SPEC_ALLOW = 1, 4

_PID_BYTES: Final = struct.Struct("=I")
_PID: Final = 0xDEAD_BEEF  # no process has this number, and no instruction another use for it

_Instruction = tuple[int, int, int, int]


def _refuse(number: int, error: int = EPERM) -> Iterator[_Instruction]:
    yield _EQUAL, 0, 1, number
    yield _RETURN, 0, 0, _ERRNO | error


def _refuse_unless(number: int, test: int, value: int) -> Iterator[_Instruction]:
    """Refuse the call, unless the jump `test` of its first argument against `value` holds."""
    yield _EQUAL, 0, 4, number
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    yield test, 1, 0, value
    yield _RETURN, 0, 0, _ERRNO | EPERM
    yield _RETURN, 0, 0, _ALLOW


def _program(machine: _Machine, pid: int, open_groups: Collection[str]) -> Iterator[_Instruction]:
    """The filter of the process `pid`, to which these groups are open."""
    numbers = machine.numbers
    yield _LOAD, 0, 0, _ARCH
    yield _EQUAL, 1, 0, machine.arch
    yield _RETURN, 0, 0, _ERRNO | EPERM
    yield _LOAD, 0, 0, _NUMBER
    if machine.arch == _MACHINES["x86_64"].arch:
        yield _NOT_LESS, 0, 1, _X32_BIT
        yield _RETURN, 0, 0, _ERRNO | EPERM
    for group, names in _DENIED.items():
        if group not in open_groups:
            for name in names:
                if name in numbers:
                    yield from _refuse(numbers[name])
    if PROCESSES not in open_groups:
        # The flags of clone3 are in memory that a filter cannot read. On ENOSYS the C library falls back to clone.
        yield from _refuse(numbers["clone3"], ENOSYS)
        yield from _refuse_unless(numbers["clone"], _BIT_SET, _CLONE_THREAD)
        yield from _refuse(numbers["pidfd_send_signal"])
        for name in _SIGNALS:
            yield from _refuse_unless(numbers[name], _EQUAL, pid)
    yield _RETURN, 0, 0, _ALLOW


class _Filter(ctypes.Structure):
    """struct sock_fprog, linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


_library: Final = ctypes.CDLL(None, use_errno=True)
_real_getpid: Final = os.getpid
_machine: Final = _MACHINES.get(os.uname().machine) if struct.calcsize("P") == 8 else None


def _seccomp(operation: int, flags: int, argument: Any) -> int:
    """seccomp(2), which has no function of its own in the C library; an errno, 0 when done."""
    assert _machine is not None
    done = _library.syscall(
        ctypes.c_long(_machine.seccomp), ctypes.c_uint(operation), ctypes.c_uint(flags), ctypes.byref(argument)
    )
    return ctypes.get_errno() if done < 0 else ESRCH if done else 0  # above 0: a thread that TSYNC could not filter


def available() -> str | None:
    """None when the filter works here, else why not."""
    if sys.platform != "linux" or _machine is None:
        return f"there is no filter for {sys.platform} on {os.uname().machine}"
    problem = _seccomp(_GET_ACTION_AVAIL, 0, ctypes.c_uint32(_ERRNO))
    return f"seccomp(2) is refused: {os.strerror(problem)}" if problem else None


@cache
def _parts(open_groups: frozenset[str]) -> list[bytes]:
    """The filter, cut where the number of the process belongs."""
    assert _machine is not None
    code = b"".join(_INSTRUCTION.pack(*each) for each in _program(_machine, _PID, open_groups))
    return code.split(_PID_BYTES.pack(_PID))


def prepare() -> None:
    """In the image: make the filter that most runs use, so that none of them has to."""
    if available() is None:
        _parts(frozenset())


def _install_filter(open_groups: set[str]) -> str | None:
    """Install the filter for the rest of this process's life; None, or why that was not possible."""
    problem = available()
    if problem is not None:
        return problem
    code = _PID_BYTES.pack(_real_getpid()).join(_parts(frozenset(open_groups)))
    if _library.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        return f"prctl(PR_SET_NO_NEW_PRIVS) is refused: {os.strerror(ctypes.get_errno())}"
    program = _Filter(len(code) // _INSTRUCTION.size, code)
    number = EINVAL
    for flags in (_TSYNC | _SPEC_ALLOW, _TSYNC, 0):
        number = _seccomp(_SET_MODE_FILTER, flags, program)
        if number == 0:
            break
    return f"seccomp(2) is refused: {os.strerror(number)}" if number else None


# ---- the audit hook

_SOCKET: Final = "a real socket would leave the world"
_LOOKUP: Final = "a real name server would be asked"
_PROCESS: Final = "a new process of the real system would leave the world"
_PROGRAM: Final = "the program would replace the whole simulator"
_SIGNAL: Final = "the signal would reach a process of the real system"


class _Refused(NamedTuple):
    """What an audit event means: the name of the call, why it is refused, its group, and when it is harmless."""

    call: str
    reason: str
    group: str
    harmless: Callable[[tuple[Any, ...]], bool] | None = None


def _is_literal(args: tuple[Any, ...]) -> bool:
    """Whether the event's host is an address or nothing at all, so that no name server is asked."""
    host = args[0]
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    if isinstance(host, tuple):
        host = host[0]
    return not host or ":" in host or not host.strip("0123456789.")


def _is_own_process(args: tuple[Any, ...]) -> bool:
    return bool(args[0] == _real_getpid())


_REFUSED: Final = {
    "socket.__new__": _Refused("socket.socket", _SOCKET, NETWORK),
    "socket.bind": _Refused("socket.bind", _SOCKET, NETWORK),
    "socket.connect": _Refused("socket.connect", _SOCKET, NETWORK),
    "socket.sendto": _Refused("socket.sendto", _SOCKET, NETWORK),
    "socket.sendmsg": _Refused("socket.sendmsg", _SOCKET, NETWORK),
    "socket.getaddrinfo": _Refused("socket.getaddrinfo", _LOOKUP, NETWORK, _is_literal),
    "socket.gethostbyname": _Refused("socket.gethostbyname", _LOOKUP, NETWORK, _is_literal),
    "socket.gethostbyaddr": _Refused("socket.gethostbyaddr", _LOOKUP, NETWORK),
    "socket.sethostname": _Refused("socket.sethostname", "it would rename the real machine", OTHERS),
    "subprocess.Popen": _Refused(refusals.SUBPROCESS, _PROCESS, PROCESSES),
    "os.fork": _Refused("os.fork", _PROCESS, PROCESSES),
    "os.forkpty": _Refused("os.forkpty", _PROCESS, PROCESSES),
    "os.posix_spawn": _Refused("os.posix_spawn", _PROCESS, PROCESSES),
    "os.system": _Refused("os.system", _PROCESS, PROCESSES),
    "os.exec": _Refused("os.execve", _PROGRAM, PROCESSES),
    "os.kill": _Refused("os.kill", _SIGNAL, PROCESSES, _is_own_process),
    "os.killpg": _Refused("os.killpg", _SIGNAL, PROCESSES),
    "pty.spawn": _Refused("pty.spawn", _PROCESS, PROCESSES),
}  # fmt: skip
_GROUP_OF: Final = {refused.call: refused.group for refused in _REFUSED.values()}

_open_groups: set[str] = set()
_hooked: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    # The simulated name service raises the events that CPython's raises: its callers may have hooks, too.
    if event in _REFUSED and sys._getframe(1).f_globals.get("__name__") != "wavetank.kernel.names":
        _judge(_REFUSED[event], args)


def _judge(refused: _Refused, args: tuple[Any, ...]) -> None:
    if refused.group in _open_groups or (refused.harmless is not None and refused.harmless(args)):
        return
    refusals.refused[refused.call] = refusals.refused.get(refused.call, 0) + 1
    kernel = getattr(core, "K", None)  # None before a world begins
    where = "" if kernel is None else f"{kernel.process.host_name}/{kernel.process.name} at {kernel.now / 1e9:.6f} s"
    raise NotSimulatedOSError(refused.call, refused.reason, errno=EPERM, where=where)


# ---- both


def names() -> list[str]:
    """The calls that this module refuses by name, as `--allow` takes them."""
    return [*_GROUP_OF]


def _groups(allow: Iterable[str]) -> set[str]:
    """The groups of system calls that are open when these names are allowed."""
    found = set()
    for name in allow:
        if name in _GROUP_OF:
            found.add(_GROUP_OF[name])
        elif name in refusals.MODULES:
            found.add(NETWORK)  # a module with sockets of its own
        elif name == refusals.SUBPROCESS or name.removeprefix("os.") in refusals.CALLS:
            found.add(PROCESSES)
    return found


def install(allow: Iterable[str] = ()) -> list[str]:
    """Close every way out of this process, except the groups of calls that the names in `allow` belong to.

    For the rest of the process's life: call it in a run's child, after everything that must still go out. Returns notes
    for the report: why the filter is missing, where it is.
    """
    _open_groups.clear()
    _open_groups.update(_groups(allow))
    problem = _install_filter(_open_groups)
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
    if problem is None:
        return []
    return [f"C code is not kept from the real network: {problem}"]
