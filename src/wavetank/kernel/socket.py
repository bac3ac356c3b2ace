"""The `_socket` module as programs see it: socket objects, their timeouts, and the argument checks of CPython.

Owns what CPython's Modules/socketmodule.c adds to the system calls: blocking, timed and non-blocking modes, argument
parsing and error texts. It finds the file behind the descriptor at each call, as Linux does, so that a stale number
does what it does there. The standard library's `socket.py` runs unmodified on top.
"""

from __future__ import annotations

import _socket as real
import errno
import sys
import warnings
from operator import index
from types import ModuleType
from typing import Any

from wavetank.kernel import arguments, core, inet, names, options, waitall
from wavetank.kernel.arguments import bytes_of, size_into, timeout_ns
from wavetank.kernel.c_errno import c_errno
from wavetank.kernel.core import CALL_COST_NS, FAR
from wavetank.kernel.endpoint import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_PEEK,
    MSG_WAITALL,
    SOCK_STREAM,
    Endpoint,
    Message,
)
from wavetank.kernel.file import ERR, HUP, READABLE, WRITABLE, File, Waiting, error
from wavetank.kernel.making import MODIFIERS, TYPE_MASK, make
from wavetank.kernel.readiness import is_real
from wavetank.kernel.replace import replace_calls
from wavetank.kernel.unix import names as unix_names
from wavetank.kernel.unix import unix_pair

_default_timeout: float | None = None
_Ancillary = list[tuple[int, int, bytes]]


def _endpoint(file: File | None) -> Endpoint:
    """The socket behind a descriptor; EBADF, ENOTSOCK."""
    if file is None:
        raise error(errno.EBADF)
    if not isinstance(file, Endpoint):
        raise error(errno.ENOTSOCK)
    return file


class socket:
    """`_socket.socket`: one descriptor, a timeout, and the calls."""

    # Family and kind are properties here, because `socket.socket` has properties of these names on top. What CPython
    # keeps in C is named `_sim_...`: derived classes have a `_timeout` or `_connect` of their own (PySocks does).
    __slots__ = ("_sim_family", "_sim_fd", "_sim_process", "_sim_timeout", "_sim_type", "proto")

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None) -> None:
        kernel = core.K
        kernel.tick()
        self._sim_fd = -1
        self._sim_process = kernel.process
        if fileno is not None:
            self._sim_adopt(family, type, proto, fileno)
        else:
            family = AF_INET if family == -1 else family
            type = SOCK_STREAM if type == -1 else type
            proto = 0 if proto == -1 else proto
            file = make(family, type, proto)
            self._sim_fd = self._sim_process.install(file)
            file.nonblocking = bool(type & real.SOCK_NONBLOCK)
            self._sim_family, self._sim_type, self.proto = family, type & ~MODIFIERS, proto
        self._sim_timeout: int | None = None
        if type != -1 and fileno is None and type & real.SOCK_NONBLOCK:
            self._sim_timeout = 0
        elif _default_timeout is not None:
            self._sim_timeout = timeout_ns(_default_timeout)
            self._sim_set_mode()

    def _sim_adopt(self, family: int, type: int, proto: int, fileno: Any) -> None:
        if isinstance(fileno, float):
            raise TypeError("integer argument expected, got float")
        fileno = index(fileno)
        if fileno < 0:
            raise ValueError("negative file descriptor")
        given = self._sim_process.fds.get(fileno)
        if given is None and is_real(fileno):
            raise error(errno.ENOTSOCK)
        file = _endpoint(given)
        self._sim_fd = fileno
        self._sim_family = file.family if family == -1 else family
        self._sim_type = file.type if type == -1 else type & ~MODIFIERS
        self.proto = file.protocol if proto == -1 else proto

    # ---- descriptor

    def _sim_file(self, mask: int = 0, call: str = "") -> Endpoint:
        """The socket. With a timeout CPython polls for `mask` whatever has the number by now, before it calls."""
        file = core.K.fds.get(self._sim_fd)
        if mask and self._sim_timeout and file is not None and not isinstance(file, Endpoint):
            self._sim_ready(file, mask, core.K.now + self._sim_timeout, call)
        return _endpoint(file)

    def _sim_start(self, mask: int = 0, call: str = "") -> Endpoint:
        """Every call: pay for it, and find the file."""
        core.K.tick()
        return self._sim_file(mask, call)

    def _sim_start_with(self, address: Any, call: str, mask: int = 0) -> Endpoint:
        """A call with an address: CPython looks at that before the kernel looks at the descriptor."""
        core.K.tick()
        family = self._sim_family
        file = core.K.fds.get(self._sim_fd)
        if address is not None and getattr(file, "family", 0) != family:
            if family in (AF_INET, AF_INET6):
                inet.parse_address(family, address, call)
            else:
                unix_names.parse(address)
            if isinstance(file, Endpoint):  # a number that meanwhile belongs to another socket
                raise error(errno.EINVAL if file.family == AF_INET6 else errno.EAFNOSUPPORT)
        return self._sim_file(mask, f"{call}()")

    def fileno(self) -> int:
        """The descriptor, -1 after close."""
        return self._sim_fd

    def close(self) -> None:
        """Close the descriptor."""
        fd, self._sim_fd = self._sim_fd, -1
        if fd >= 0:
            core.K.tick()
            core.K.process.close_lingering(fd)

    def detach(self) -> int:
        """Forget the descriptor without closing it."""
        fd, self._sim_fd = self._sim_fd, -1
        return fd

    def __del__(self) -> None:
        fd = getattr(self, "_sim_fd", -1)
        if fd >= 0 and core.K is not None:
            process = self._sim_process
            if process.status is None and fd in process.fds:
                try:
                    warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
                finally:  # also when warnings are errors (`sock_finalize`)
                    self._sim_fd = -1
                    process.close(fd)

    def __repr__(self) -> str:
        return f"<socket object, fd={self._sim_fd}, family={self.family}, type={self.type}, proto={self.proto}>"

    @property
    def family(self) -> int:
        """The address family."""
        return self._sim_family

    @property
    def type(self) -> int:
        """The kind of socket, without the flags given with it."""
        return self._sim_type

    # ---- modes

    @property
    def timeout(self) -> float | None:
        """The timeout in seconds."""
        return None if self._sim_timeout is None else self._sim_timeout / 1e9

    def gettimeout(self) -> float | None:
        """The timeout in seconds, None when blocking."""
        return self.timeout

    def settimeout(self, timeout: float | None, /) -> None:
        """Set the timeout in seconds."""
        self._sim_timeout = timeout_ns(timeout)
        self._sim_set_mode()

    def setblocking(self, flag: Any, /) -> None:
        """True: block; False: do not."""
        self._sim_timeout = None if flag else 0
        self._sim_set_mode()

    def getblocking(self) -> bool:
        """Whether calls may wait."""
        return self._sim_timeout != 0

    def _sim_set_mode(self) -> None:
        file = core.K.fds.get(self._sim_fd)
        if file is None:
            raise error(errno.EBADF)
        file.nonblocking = self._sim_timeout is not None

    def _sim_deadline(self, file: Endpoint, flags: int = 0) -> int:
        """Until when to wait: FAR for ever, -1 not at all."""
        timeout = self._sim_timeout
        if not timeout and (flags & MSG_DONTWAIT or file.nonblocking):  # with a timeout CPython waits by itself
            return -1
        return core.K.now + timeout if timeout else FAR  # a duplicate may have set the descriptor to wait

    def _sim_wait(self, file: File, mask: int, deadline: int, call: str, *, exclusive: bool = False) -> None:
        """Wait until something may have changed; EAGAIN, or TimeoutError, when that is not allowed any more."""
        kernel = core.K
        file.keep()
        if kernel.soft:
            kernel.run_soft()
            if file.poll() & mask:
                return
        if deadline < 0:
            c_errno.value = errno.EAGAIN  # which a buffer in C puts into the error that it raises
            raise error(errno.EAGAIN)
        if kernel.now >= deadline or not file.wait(mask, deadline, Waiting(call, file), exclusive=exclusive):
            if kernel.fds.get(self._sim_fd) is None:  # `poll` looks once more when its time is over, by the number
                raise error(errno.EBADF)
            raise TimeoutError("timed out")

    def _sim_ready(self, file: File, mask: int, deadline: int, call: str) -> None:
        """With a timeout CPython polls before it calls (`sock_call_ex`)."""
        while not file.poll() & (mask | ERR | HUP):
            self._sim_wait(file, mask, deadline, call)

    # ---- receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most `bufsize` bytes."""
        kernel = core.K
        kernel.now = now = kernel.now + CALL_COST_NS  # Kernel.tick, without the call
        if now >= kernel.attention:
            kernel.look_around()
        file = kernel.fds.get(self._sim_fd)
        if file is None or bufsize.__class__ is not int or bufsize <= 0 or flags != 0:
            return self._sim_recv_rare(bufsize, flags)
        try:
            data: bytes | None = file.receive(bufsize, 0)
        except OSError:
            if not self._sim_timeout or file.poll():
                raise
            data = None
        if data is None:
            data = self._sim_recv_waiting(bufsize, 0)
        if kernel.soft:
            kernel.run_soft()
        kernel.streak = 0
        return data

    def _sim_recv_rare(self, bufsize: int, flags: int) -> bytes:
        bufsize, flags = arguments.receiving(bufsize, flags, "negative buffersize in recv")
        # 0: without a call (`sock_recv_guts`), so that a datagram stays
        return self._sim_recv_waiting(bufsize, flags) if bufsize else b""

    def _sim_recv_waiting(self, bufsize: int, flags: int) -> bytes:
        return self._sim_message(self._sim_file(READABLE, "recv()"), bufsize, flags, 0, "recv()")[0]

    @arguments.letting_go
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer."""
        view = arguments.writable(buffer, "recv_into")
        size = size_into(view, nbytes, "recv_into")
        if not size:
            return 0
        data = self.recv(size, flags)
        view[: len(data)] = data
        return len(data)

    def _sim_receive(self, size: int, flags: int, ancillary_size: int, call: str) -> Message:
        message = self._sim_message(self._sim_start(READABLE, call), size, flags, ancillary_size, call)
        core.K.streak = 0
        return message

    def _sim_message(self, file: Endpoint, size: int, flags: int, ancillary_size: int, call: str) -> Message:
        deadline = self._sim_deadline(file, flags)
        kind = flags & ~(MSG_DONTWAIT | MSG_WAITALL)
        whole = flags & MSG_WAITALL and not (file.nonblocking or flags & MSG_DONTWAIT) and file.type == SOCK_STREAM
        if self._sim_timeout:
            self._sim_ready(file, READABLE, deadline, call)
        while (message := file.receive_message(size, kind, ancillary_size)) is None:
            self._sim_wait(file, READABLE, deadline, call)
        if whole and 0 < len(message[0]) < size:
            rest = waitall.peek if flags & MSG_PEEK else waitall.receive
            message = rest(file, size, kind, ancillary_size, message, lambda: self._sim_wait(file, READABLE, FAR, call))
        elif flags & MSG_WAITALL and 0 < len(message[0]) < size and not flags & MSG_PEEK:
            waitall.ended(file)
        if core.K.soft:
            core.K.run_soft()
        return message

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive a datagram and its sender."""
        bufsize, flags = arguments.receiving(bufsize, flags, "negative buffersize in recvfrom")
        data, _, _, address = self._sim_receive(bufsize, flags, 0, "recvfrom()")
        return data, address

    @arguments.letting_go
    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Receive a datagram into a buffer."""
        view = arguments.writable(buffer, "recvfrom_into")
        size = size_into(view, nbytes, "recvfrom_into")
        data, _, _, address = self._sim_receive(size, arguments.c_int(flags), 0, "recvfrom_into()")
        view[: len(data)] = data[:size]
        return len(data), address

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, _Ancillary, int, Any]:
        """Receive data with ancillary data."""
        bufsize, flags = arguments.receiving(bufsize, flags, "negative buffer size in recvmsg()")
        ancbufsize, flags = arguments.receiving(ancbufsize, flags, "invalid ancillary data buffer length")
        data, *rest = self._sim_receive(bufsize, flags, ancbufsize, "recvmsg()")
        return data[:bufsize], *rest  # MSG_TRUNC makes no more of it (`sock_recvmsg_guts`)

    @arguments.letting_go
    def recvmsg_into(self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /) -> tuple[int, _Ancillary, int, Any]:
        """Receive data with ancillary data into several buffers."""
        views = arguments.writable_parts(buffers)
        ancbufsize, flags = arguments.receiving(ancbufsize, flags, "invalid ancillary data buffer length")
        data, ancillary, message_flags, address = self._sim_receive(
            sum(map(len, views)), flags, ancbufsize, "recvmsg_into()"
        )
        arguments.fill(views, data)
        return len(data), ancillary, message_flags, address

    # ---- sending

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send; the number of bytes taken."""
        kernel = core.K
        kernel.now = now = kernel.now + CALL_COST_NS  # Kernel.tick, without the call
        if now >= kernel.attention:
            kernel.look_around()
        file = kernel.fds.get(self._sim_fd)
        if file is None:
            raise error(errno.EBADF)
        if type(data) is not bytes:
            data = bytes_of(data)
        if flags != 0:
            flags = arguments.c_int(flags)
        try:
            if self._sim_timeout:
                self._sim_ready(file, WRITABLE, kernel.now + self._sim_timeout, "send()")
            sent: int | None = file.send(data, flags)
            if sent is None or (sent < len(data) and self._sim_timeout is None):
                sent = self._sim_send_waiting(data, flags, sent or 0)
        except OSError as problem:
            del data  # as `arguments.letting_go`
            raise problem.with_traceback(None)  # noqa: B904  # the same exception
        if kernel.soft:
            kernel.run_soft()
        kernel.streak = 0
        return sent

    def _sim_send_waiting(self, data: Any, flags: int, sent: int) -> int:
        """Blocking sockets take everything before `send` returns (tcp_sendmsg); with a timeout, what fits at first."""
        file = self._sim_file()
        deadline = self._sim_deadline(file, flags)
        view = memoryview(data)
        if sent and deadline < 0:
            return sent
        while sent < len(view) or not len(view):
            try:
                self._sim_wait(file, WRITABLE, deadline, "send()")
            except OSError:
                if sent:
                    return sent
                raise
            if file.family == AF_UNIX and not sent:
                file.raise_error()  # who waits for room hears of an error before the end (sock_alloc_send_pskb)
            taken = file.send(view[sent:], flags)
            if taken is not None:
                sent += taken
                if self._sim_timeout is not None or not len(view):
                    break
        return sent

    @arguments.letting_go
    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send everything, or raise."""
        file = self._sim_start(WRITABLE, "sendall()")
        view, flags = memoryview(bytes_of(data)), arguments.c_int(flags)
        deadline = self._sim_deadline(file, flags)
        sent, size = 0, len(view)
        kernel = core.K
        while True:
            taken = file.send(view[sent:] if sent else bytes(view), flags)
            if taken is not None:
                sent += taken
                if sent >= size:
                    break
            self._sim_wait(file, WRITABLE, deadline, "sendall()")
        kernel.streak = 0
        if kernel.soft:
            kernel.run_soft()

    @arguments.letting_go
    def sendto(self, data: Any, *rest: Any) -> int:
        """`sendto(data[, flags], address)`."""
        data, flags, address = arguments.sendto_arguments(self._sim_family, data, rest)
        return self._sim_send_to(data, address, flags, [], "sendto()")

    @arguments.letting_go
    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /) -> int:
        """Send several buffers as one, with ancillary data."""
        arguments.check_sendmsg_address(self._sim_family, address)
        data = arguments.joined(buffers)
        return self._sim_send_to(data, address, arguments.c_int(flags), arguments.ancillary_of(ancdata), "sendmsg()")

    def _sim_send_to(self, data: Any, address: Any, flags: int, ancillary: _Ancillary, call: str) -> int:
        file = self._sim_start_with(address, "sendto", WRITABLE)
        deadline = self._sim_deadline(file, flags)
        while True:
            sent = file.send_to(data, address, flags & ~MSG_DONTWAIT, ancillary)
            if sent is not None:
                break
            self._sim_wait(file, WRITABLE, deadline, call)
        kernel = core.K
        kernel.streak = 0
        if kernel.soft:
            kernel.run_soft()
        if sent < len(data) and self._sim_timeout is None and file.type == SOCK_STREAM and deadline == FAR:
            sent = self._sim_send_waiting(data, flags, sent)
        return sent

    # ---- connections

    def bind(self, address: Any, /) -> None:
        """Give the socket a local address."""
        self._sim_start_with(address, "bind").bind(address)

    def listen(self, backlog: int = 128, /) -> None:
        """Accept connections from now on."""
        self._sim_start().listen(arguments.c_int(backlog))

    def _accept(self) -> tuple[int, Any]:
        """The descriptor of a new connection and its peer's address."""
        file = self._sim_start(READABLE, "accept()")
        deadline = self._sim_deadline(file)
        process = core.K.process
        if self._sim_timeout:
            self._sim_ready(file, READABLE, deadline, "accept()")
        fd = process.take_number()  # before a connection is taken: without one it stays (__sys_accept4_file)
        process.reserved.add(fd)
        try:
            while (got := file.accept()) is None:
                self._sim_wait(file, READABLE, deadline, "accept()", exclusive=True)
        except BaseException:
            process.return_number(fd)
            raise
        finally:
            process.reserved.discard(fd)
        new, address = got
        new.hold()
        process.fds[fd] = new
        core.K.streak = 0
        return fd, address

    def connect(self, address: Any, /) -> None:
        """Connect; waits as the timeout says."""
        number = self._sim_connect(address)
        if number:
            raise error(number)

    def connect_ex(self, address: Any, /) -> int:
        """Connect; the errno instead of an OSError (EAGAIN when it timed out)."""
        try:
            return self._sim_connect(address)
        except TimeoutError as problem:
            return problem.errno or errno.EAGAIN
        except (OverflowError, TypeError) as problem:
            raise type(problem)(str(problem).replace("connect()", "connect_ex()", 1)) from None
        except OSError as problem:
            if problem.errno is None or isinstance(problem, real.gaierror):
                raise
            return problem.errno

    def _sim_connect(self, address: Any) -> int:
        file = self._sim_start_with(address, "connect")
        kernel = core.K
        done = file.connect(address)
        if kernel.soft:
            kernel.run_soft()
        if done:
            return 0
        deadline = self._sim_deadline(file)
        if deadline < 0:
            return errno.EINPROGRESS
        while file.connecting():
            self._sim_wait(file, WRITABLE | READABLE, deadline, "connect()")
        # With a timeout CPython takes the error by SO_ERROR, and the kernel has reported nothing yet.
        number = file.take_error()
        if self._sim_timeout is None:
            file.connect_reported()
        return number

    def shutdown(self, how: int, /) -> None:
        """Close one or both directions."""
        how = arguments.as_int(how)
        file = self._sim_start()
        if how not in (0, 1, 2):
            raise error(errno.EINVAL)
        file.shutdown(how)
        if core.K.soft:
            core.K.run_soft()

    def getsockname(self) -> Any:
        """The local address."""
        return self._sim_start().local_address()

    def getpeername(self) -> Any:
        """The peer's address."""
        return self._sim_start().peer_address()

    # ---- options

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> int | bytes:
        """Read an option."""
        return options.get(self._sim_start(), level, option, buflen)

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None, /) -> None:
        """Set an option."""
        file = self._sim_start()
        if value is None:
            if optlen is None:
                raise TypeError("setsockopt() requires 4 arguments when the third argument is None")
            value = b""
        options.put(file, level, option, value)
        if core.K.soft:
            core.K.run_soft()


# ---- module functions


class _Calls:
    """The functions of `_socket` that are about sockets: bound methods, for the reason given in `replace`."""

    __slots__ = ()

    def socketpair(self, family: int = AF_UNIX, type: int = SOCK_STREAM, proto: int = 0) -> tuple[socket, socket]:
        """Two connected sockets."""
        kernel = core.K
        kernel.tick()
        if family != AF_UNIX:
            raise error(errno.EOPNOTSUPP if family in (AF_INET, AF_INET6) else errno.EAFNOSUPPORT)
        kernel.process.need_room(2)
        one, two = unix_pair(kernel.process.stack, type & TYPE_MASK)
        made = []
        for file in (one, two):
            item = socket(family, type, proto, fileno=kernel.process.install(file))
            if type & real.SOCK_NONBLOCK:
                item.setblocking(False)
            made.append(item)
        return made[0], made[1]

    def dup(self, fd: int, /) -> int:
        """A new descriptor for the same socket."""
        file = core.K.fds.get(fd)
        if file is None:
            raise error(errno.EBADF)
        return core.K.process.install(file)

    def close(self, fd: int, /) -> None:
        """Close a socket's descriptor."""
        core.K.tick()
        core.K.process.close_lingering(index(fd))

    def getdefaulttimeout(self) -> float | None:
        """The timeout of new sockets."""
        return _default_timeout

    def setdefaulttimeout(self, timeout: float | None, /) -> None:
        """Set the timeout of new sockets."""
        global _default_timeout
        ns = timeout_ns(timeout)
        _default_timeout = None if ns is None else ns / 1e9


def install() -> None:
    """Put the simulated `_socket` module in place, before `socket` is imported."""
    module = ModuleType("_socket", real.__doc__)
    for name in dir(real):
        if not name.startswith("__"):
            setattr(module, name, getattr(real, name))
    replace_calls(_Calls(), module)
    socket.__module__ = "_socket"
    module.socket = module.SocketType = socket  # type: ignore[attr-defined]
    for name in names.FUNCTIONS:
        setattr(module, name, getattr(names, name))
    module.__spec__, module.__file__ = real.__spec__, getattr(real, "__file__", None)
    sys.modules["_socket"] = module
