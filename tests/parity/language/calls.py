"""The functions of the language: everything that is not a method of a socket or of an epoll object.

Each takes the machine first. What they return is recorded as `machine.Machine.show` writes it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import struct
import tempfile
import termios
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.parity.language.machine import Machine

_MASK = 0xFFFF_FFFF
_FIN_WAIT1 = 4
#: States in which a FIN has been sent: FIN-WAIT-1, LAST-ACK, CLOSING.
_FIN_SENT = (4, 9, 11)
_FLOOD: Final = b"f" * 65536


def _descriptor(number: int) -> Any:
    from tests.parity.language.machine import Descriptor

    return Descriptor(number)


# ---- making things


def make_socket(machine: Machine, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0) -> Any:
    """A socket that does not wait."""
    made = socket.socket(family, kind, proto)
    made.setblocking(False)
    return made


def listener(machine: Machine, host: str = "127.0.0.1", backlog: int = 5, *options: int) -> Any:
    """A TCP listener that does not wait; `options`: of SOL_SOCKET, set to 1 before it is bound."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setblocking(False)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((host, 0))
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    return made


def tcp(machine: Machine, host: str = "127.0.0.1", buffers: int = 0) -> tuple[Any, Any]:
    """Both ends of a connection: the one that connected, the one that was accepted. The listener is closed.

    `buffers`: SO_SNDBUF and SO_RCVBUF of both, set before they are connected.
    """
    listening = listener(machine, host)
    with listening:
        one = make_socket(machine, listening.family)
        if buffers:
            for each in (listening, one):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        one.connect_ex(listening.getsockname())
        machine.settle()
        other, _ = listening.accept()
        other.setblocking(False)
        machine.settle()
    return one, other


def udp(machine: Machine, host: str = "127.0.0.1") -> tuple[Any, Any]:
    """Two UDP sockets with addresses, not connected."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = (make_socket(machine, family, socket.SOCK_DGRAM), make_socket(machine, family, socket.SOCK_DGRAM))
    for each in made:
        each.bind((host, 0))
    return made


def pair(machine: Machine, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    """`socketpair`, neither end waits."""
    made = socket.socketpair(socket.AF_UNIX, kind)
    for each in made:
        each.setblocking(False)
    return made


def pipe(machine: Machine, flags: int = os.O_NONBLOCK) -> tuple[Any, Any]:
    """`os.pipe2`."""
    reader, writer = os.pipe2(flags | os.O_CLOEXEC)
    return _descriptor(reader), _descriptor(writer)


def accept(machine: Machine, listening: Any) -> Any:
    """`accept`: the socket alone, which does not wait."""
    made, _ = listening.accept()
    made.setblocking(False)
    return made


# ---- addresses


def at(machine: Machine, sock: Any, host: str = "") -> Any:
    """The address of a socket, for connecting to it: a loopback address where it has any; `host` instead of its own."""
    from tests.parity.language.machine import is_of_another_family

    if is_of_another_family(sock):
        raise TypeError("a stale descriptor of another family")
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return name
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], name[0])
    return (host or own, name[1])


def nobody(machine: Machine, host: str = "127.0.0.1") -> Any:
    """An address that refuses TCP and UDP: both ports are held by sockets that take nothing."""
    key = f"<nobody {host}>"
    held = machine.values.get(key)
    if held is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:
            one = socket.socket(family)
            other = socket.socket(family, socket.SOCK_DGRAM)
            one.bind((host, 0))
            try:
                other.bind(one.getsockname())
                break
            except OSError:
                one.close()
                other.close()
        one.setblocking(False)
        other.setblocking(False)
        other.connect(other.getsockname())  # takes what comes from itself alone
        machine.values[key] = one
        machine.values[f"{key} UDP"] = other
        held = one
    return held.getsockname()[:2]


def abstract(machine: Machine, number: int) -> bytes:
    """An abstract UNIX name of this program's own."""
    return b"\0wavetank parity " + machine.token + b"%d" % number


def path(machine: Machine, name: str) -> str:
    """A path in a folder of this program's own."""
    if not machine.folder:
        machine.folder = tempfile.mkdtemp(prefix="wavetank-parity-")
    return f"{machine.folder}/{name}"


# ---- data


def data(machine: Machine, size: int) -> bytes:
    """Bytes that are different from those of every other call, and in every place."""
    machine.produced += 1
    pattern = _pattern(machine.produced * 31 & 255)
    return (pattern * (size // 4096 + 1))[:size] if size > len(pattern) else pattern[:size]


@cache
def _pattern(start: int) -> bytes:
    return bytes((start + index * 7 + index // 256) & 255 for index in range(4096))


def linger(machine: Machine, on: int, seconds: int) -> bytes:
    """`struct linger`."""
    return struct.pack("ii", on, seconds)


def mreq(machine: Machine, group: str, interface: str = "127.0.0.1") -> bytes:
    """`struct ip_mreq`."""
    return socket.inet_aton(group) + socket.inet_aton(interface)


def octets(machine: Machine, ip: str) -> bytes:
    """`struct in_addr`."""
    return socket.inet_aton(ip)


def packed(machine: Machine, form: str, *values: Any) -> bytes:
    """`struct.pack`."""
    return struct.pack(form, *values)


def octets6(machine: Machine, ip: str) -> bytes:
    """`struct in6_addr`."""
    return socket.inet_pton(socket.AF_INET6, ip)


def rights(machine: Machine, *things: Any) -> list[Any]:
    """Ancillary data that passes descriptors."""
    numbers = array.array("i", [machine.number(each) for each in things])
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers.tobytes())]


def credentials(machine: Machine, sock: Any) -> Any:
    """SO_PEERCRED, by who it is."""
    return whose(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))


def whose(packed: bytes) -> Any:
    numbers = struct.unpack(f"{len(packed) // 4}i", packed[: len(packed) // 4 * 4])  # fewer where they were cut off
    mine = (os.getpid(), os.getuid(), os.getgid())
    return tuple(
        "mine" if value == own else value if value in (0, -1) else "other"
        for value, own in zip(numbers, mine, strict=False)
    )


def received(machine: Machine, sock: Any, size: int, ancillary_size: int, flags: int = 0) -> Any:
    """`recvmsg`: data, what came with it, flags, address. Descriptors that were passed are kept as `passed1` and on."""
    what, ancillary, message_flags, address = sock.recvmsg(size, ancillary_size, flags)
    shown: list[Any] = []
    for level, kind, packed in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i", packed[: len(packed) // 4 * 4])
            for number in numbers:
                machine.passed += 1
                machine.values[f"passed{machine.passed}"] = _descriptor(number)
            shown.append(("rights", len(packed), [machine.show_descriptor(number) for number in numbers]))
        elif (level, kind) == (socket.SOL_SOCKET, 2):
            shown.append(("credentials", len(packed), whose(packed)))
        else:
            shown.append((level, kind, packed))
    return what, shown, message_flags, address


# ---- calls on any descriptor


def read(machine: Machine, thing: Any, size: int) -> bytes:
    """`os.read`."""
    return os.read(machine.number(thing), size)


def write(machine: Machine, thing: Any, what: bytes) -> int:
    """`os.write`."""
    return os.write(machine.number(thing), what)


def close(machine: Machine, thing: Any) -> None:
    """`os.close` of the bare descriptor."""
    os.close(machine.number(thing))


def dup(machine: Machine, thing: Any) -> Any:
    """`os.dup`."""
    return _descriptor(os.dup(machine.number(thing)))


def dup2(machine: Machine, thing: Any, other: Any) -> Any:
    """`os.dup2`."""
    return _descriptor(os.dup2(machine.number(thing), machine.number(other)))


def fromfd(machine: Machine, thing: Any, family: int, kind: int) -> Any:
    """`socket.fromfd`: a duplicate as a socket object."""
    made = socket.fromfd(machine.number(thing), family or thing.family, kind)
    made.setblocking(False)
    return made


def adopt(machine: Machine, number: int) -> Any:
    """`socket.socket(fileno=)`: family, type and protocol are found out."""
    made = socket.socket(fileno=int(number))
    made.setblocking(False)
    return made


def detach(machine: Machine, sock: Any) -> Any:
    """`detach`: the descriptor without its object."""
    if not isinstance(sock, socket.socket):
        raise TypeError("no socket")
    return _descriptor(sock.detach())


def descriptor(machine: Machine, thing: Any) -> Any:
    """Which descriptor it has."""
    return _descriptor(machine.number(thing))


def ioctl(machine: Machine, thing: Any, request: int) -> int:
    """`ioctl` that answers with an int: FIONREAD, TIOCOUTQ (of TCP sockets without a connection: nothing sensible)."""
    if request == termios.TIOCOUTQ and isinstance(thing, socket.socket) and thing.family != socket.AF_UNIX:
        try:
            thing.getpeername()
        except OSError:
            return -1
    answer = _count(machine, thing, request)
    if request == termios.FIONREAD:  # what a flood has left at its other end, too
        return min(answer, 10_000) if machine.filled else answer
    if machine.number(thing) not in machine.filled and not (answer == 1 and _has_sent_fin(thing)):
        return answer
    # How soon a FIN is acknowledged, and data of a stream that was full, is one of the listed differences: whether it
    # is, at the latest after TCP_DELACK_MAX, is compared.
    for _ in range(60):
        if not answer:
            break
        pause(machine, 0.005)
        answer = _count(machine, thing, request)
    return 10_000 * (answer > 10_000) if machine.number(thing) in machine.filled else answer


def _count(machine: Machine, thing: Any, request: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(machine.number(thing), request, b"\0\0\0\0"))[0])


def _has_sent_fin(thing: Any) -> bool:
    if not isinstance(thing, socket.socket) or thing.type != socket.SOCK_STREAM or thing.family == socket.AF_UNIX:
        return False
    return thing.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] in _FIN_SENT


def flags(machine: Machine, thing: Any) -> int:
    """`F_GETFL`, of it what says whether it waits and how it was opened."""
    return fcntl.fcntl(machine.number(thing), fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_ACCMODE)


def inheritable(machine: Machine, thing: Any, *value: bool) -> Any:
    """Whether a new program would keep it; with a value: sets it."""
    if value:
        return os.set_inheritable(machine.number(thing), *value)
    return os.get_inheritable(machine.number(thing))


def blocking(machine: Machine, thing: Any, value: bool) -> None:
    """`os.set_blocking`."""
    os.set_blocking(machine.number(thing), value)


def kind_of(machine: Machine, thing: Any) -> int:
    """The type in `fstat`'s mode."""
    return os.fstat(machine.number(thing)).st_mode >> 12


def pipe_size(machine: Machine, thing: Any, *size: int) -> int:
    """F_GETPIPE_SZ; with a size F_SETPIPE_SZ."""
    return fcntl.fcntl(machine.number(thing), 1031 if size else 1032, *size)


# ---- much at once


def flood(machine: Machine, sock: Any, chunk: int = 65536) -> str:
    """`fill`, after which it is not recorded when a TCP socket becomes writable (see the page of differences)."""
    if sock.family != socket.AF_UNIX:
        machine.filled.add(sock.fileno())
    return fill(machine, sock, chunk)


def fill(machine: Machine, sock: Any, chunk: int = 65536) -> str:
    """Send until nothing more is taken. How much that was is not recorded for TCP (see the page of differences)."""
    stalled = 0
    block = _FLOOD[:chunk] if chunk <= len(_FLOOD) else b"f" * chunk
    while stalled < 2:  # the loopback gives back memory when it has delivered
        try:
            if hasattr(sock, "send"):
                sock.send(block)
            else:
                os.write(machine.number(sock), block)
            stalled = 0
        except BlockingIOError:
            stalled += 1
            machine.settle()
    return "full"


def transfer(machine: Machine, one: Any, other: Any, size: int) -> Any:
    """Send `size` bytes from `one` and receive them at `other`, in turns: how many came, and whether unchanged."""
    drain(machine, other)
    block = data(machine, size)
    received, sent = bytearray(), 0
    idle = 0
    while len(received) < size and idle < 100:
        idle += 1
        try:
            if sent < size:
                sent += one.send(block[sent : sent + 65536])
                idle = 0
        except BlockingIOError:
            pass
        machine.calm()
        try:
            part = other.recv(65536)
        except BlockingIOError:
            continue
        if not part:
            break
        received += part
        idle = 0
    drain(machine, other)
    return min(len(received), size), bytes(received) == block


def drain(machine: Machine, sock: Any, chunk: int = 65536) -> Any:
    """Receive until there is nothing, or the end: why it ended, and the bytes seen other than those of `fill`."""
    other = bytearray()
    while True:
        try:
            got = sock.recv(chunk) if hasattr(sock, "recv") else os.read(machine.number(sock), chunk)
        except BlockingIOError:
            machine.calm()
            try:
                got = sock.recv(chunk) if hasattr(sock, "recv") else os.read(machine.number(sock), chunk)
            except BlockingIOError:
                return "empty", bytes(other)
        except OSError as problem:
            return errno.errorcode[problem.errno or 0], bytes(other)
        if not got:
            return "end", bytes(other)
        if got != (_FLOOD[: len(got)] if len(got) < len(_FLOOD) else b"f" * len(got)):
            other += got.replace(b"f", b"")


def drain_sizes(machine: Machine, sock: Any) -> Any:
    """Receive until there is nothing: the sizes, runs of the same one as pairs."""
    sizes = []
    try:
        while got := sock.recv(100_000):
            sizes.append(len(got))
    except OSError as problem:
        sizes.append(errno.errorcode[problem.errno or 0])
    return _runs(sizes)


def _runs(items: list[Any]) -> list[list[Any]]:
    runs: list[list[Any]] = []
    for each in items:
        if runs and runs[-1][1] == each:
            runs[-1][0] += 1
        else:
            runs.append([1, each])
    return runs


def repeat(machine: Machine, count: int, call: Callable[..., Any], *arguments: Any) -> Any:
    """The same call again and again: runs of the same result as pairs."""
    results = []
    for _ in range(count):
        try:
            results.append(call(*arguments))
        except OSError as problem:
            results.append(errno.errorcode[problem.errno or 0])
    return _runs(results)


def maybe(machine: Machine, condition: int, call: Callable[..., Any], *arguments: Any) -> Any:
    """A call, or none."""
    return call(*arguments) if condition else "not called"


def unread(machine: Machine, where: str, one: Any, other: Any) -> Any:
    """Data that is not read, in the queue of `c` (the first) or `s` (the second), or nowhere."""
    if where == "nobody":
        return None
    return (other if where == "c" else one).send(b"unread")


def rst(machine: Machine, how: str) -> int:
    """Whether to linger, so that closing sends RST."""
    return int(how == "RST")


def family_of(machine: Machine, host: str) -> int:
    """The family of an address."""
    return int(socket.AF_INET6 if ":" in host else socket.AF_INET)


def long_name(machine: Machine, size: int) -> bytes:
    """An abstract name of so many bytes."""
    return (b"\0long " + machine.token).ljust(size, b"n")


def into(machine: Machine, sock: Any, size: int) -> Any:
    """`recv_into`."""
    buffer = bytearray(size)
    return sock.recv_into(buffer), bytes(buffer)


def from_into(machine: Machine, sock: Any, size: int) -> Any:
    """`recvfrom_into`."""
    buffer = bytearray(size)
    count, address = sock.recvfrom_into(buffer)
    return count, address, bytes(buffer)


def parts(machine: Machine, sock: Any, *sizes: int) -> Any:
    """`recvmsg_into`."""
    buffers = [bytearray(size) for size in sizes]
    count, _, message_flags, address = sock.recvmsg_into(buffers)
    return count, message_flags, address, [bytes(each) for each in buffers]


# ---- readiness


def epoll_wait(machine: Machine, poller: Any, most: int = -1, timeout: float = 0) -> Any:
    """`epoll.poll`: names and flags in the order of the ready list."""
    return _told(machine, poller.poll(timeout, most))


def _told(machine: Machine, found: list[tuple[int, int]]) -> Any:
    known = [(number, machine.known(number, mask)) for number, mask in found]
    return [[machine.name_of(number), mask] for number, mask in known if mask]


def make_epoll(machine: Machine) -> Any:
    """`select.epoll()`."""
    return select.epoll()


def register(machine: Machine, poller: Any, thing: Any, mask: int) -> None:
    """EPOLL_CTL_ADD."""
    machine.watch(machine.number(poller), machine.number(thing), mask)
    poller.register(machine.number(thing), mask & _MASK)


def modify(machine: Machine, poller: Any, thing: Any, mask: int) -> None:
    """EPOLL_CTL_MOD."""
    machine.watch(machine.number(poller), machine.number(thing), mask)
    poller.modify(machine.number(thing), mask & _MASK)


def unregister(machine: Machine, poller: Any, thing: Any) -> None:
    """EPOLL_CTL_DEL."""
    poller.unregister(machine.number(thing))


def poll(machine: Machine, things: list[Any], mask: int, timeout_ms: int = 0) -> Any:
    """`poll`: names and flags in the order of registration."""
    poller = select.poll()
    for each in things:
        poller.register(machine.number(each), mask)
    return _told(machine, poller.poll(timeout_ms))


def select_sets(machine: Machine, reading: Any, writing: Any, exceptional: Any, timeout: float = 0) -> Any:
    """`select`: three lists of names."""
    numbers = [[machine.number(each) for each in things] for things in (reading, writing, exceptional)]
    reading, writing, exceptional = select.select(*numbers, timeout)
    writing = [number for number in writing if number not in machine.filled]
    return [[machine.name_of(number) for number in found] for found in (reading, writing, exceptional)]


# ---- states and time

_LITTLE: Final = 1_000


def state(machine: Machine, sock: Any) -> int:
    """The state of a TCP socket (TCP_INFO).

    Little data and the FIN behind it are acknowledged when the other side's timer for delayed acknowledgements fires,
    at the latest after 200 ms (TCP_DELACK_MAX, include/net/tcp.h), and a busy machine delays what an idle one does at
    once: that is waited for. Much data may wait for a window that stays closed.
    """
    for _ in range(300):
        found = int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0])
        if found != _FIN_WAIT1 or ioctl(machine, sock, termios.TIOCOUTQ) > _LITTLE:
            break
        pause(machine, 0.001)
    return found


def pause(machine: Machine, seconds: float) -> None:
    """Let time pass: what waits for a timer happens."""
    began = time.monotonic()
    time.sleep(seconds)
    machine.paused_s += time.monotonic() - began


def quiet(machine: Machine, *socks: Any) -> str:
    """Wait until everything sent has been acknowledged: a queue that is empty, not a guessed time."""
    for each in socks:
        for _ in range(2_000):
            if not ioctl(machine, each, termios.TIOCOUTQ):
                break
            pause(machine, 0.001)
        else:
            return "not acknowledged"
    return "acknowledged"


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "socket": make_socket,
    "epoll": make_epoll,
    "wait": epoll_wait,
    "select": select_sets,
    **{
        function.__name__: function
        for function in (
            listener, tcp, udp, pair, pipe, accept, at, nobody, abstract, path, data, linger, mreq, octets,
            octets6, packed, rights,
            credentials, received, read, write, close, dup, dup2, fromfd, adopt, detach, descriptor, ioctl, flags,
            inheritable, blocking, kind_of, pipe_size, fill, flood, drain, transfer, register, modify, unregister, poll,
            state, pause, quiet, drain_sizes, repeat, maybe, unread, rst, family_of, long_name, into, from_into, parts,
        )
    },
}  # fmt: skip
