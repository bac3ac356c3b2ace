"""The names of UNIX sockets: files, abstract names, none at all; who is bound to which.

Owns the forms of an address (Python's, and the bytes that Linux compares) and a host's tables of bound names. Inside
the kernel a name is bytes: b"" for a socket without one, a leading NUL for an abstract one, else a path (see `files`).
A file stays when its socket is closed, as on Linux. Behaviour: net/unix/af_unix.c (`unix_bind_bsd`,
`unix_bind_abstract`, `unix_autobind`, `unix_find_other`); the forms and their errors: CPython Modules/socketmodule.c
(`getsockaddrarg`, `makesockaddr`).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel.descriptors import private
from wavetank.kernel.file import error
from wavetank.kernel.unix import files

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack
    from wavetank.kernel.unix.endpoint import Unix

#: UNIX_PATH_MAX, include/uapi/linux/un.h
PATH_MOST: Final = 108
_TEMPORARY: Final = private.NAME.encode() + b"/tmp/"
#: Abstract names that Linux gives on its own: five hexadecimal digits.
_AUTOMATIC: Final = 0xFFFFF


def parse(address: Any) -> bytes:
    """The name that a program gives; TypeError and OSError as CPython raises them."""
    if isinstance(address, str):
        name = os.fsencode(address)
    else:
        try:
            name = bytes(memoryview(address))
        except TypeError:
            raise TypeError(f"a bytes-like object is required, not '{type(address).__name__}'") from None
    abstract = not name or name[0] == 0
    if len(name) > (PATH_MOST if abstract else PATH_MOST - 1) and (abstract or not _fits_in_tmp(name)):
        raise OSError("AF_UNIX path too long")
    return name if abstract else name.partition(b"\0")[0]


def _fits_in_tmp(name: bytes) -> bool:
    """Whether a path below the run's own folder for temporary files, which has a long name, would fit below /tmp."""
    return name.startswith(_TEMPORARY) and len(b"/tmp/") + len(name) - len(_TEMPORARY) < PATH_MOST


def display(name: bytes) -> str | bytes:
    """The name as a program sees it: bytes if abstract, else text, empty for a socket without a name."""
    return name if name[:1] == b"\0" else os.fsdecode(name)


def bind(socket: Unix, name: bytes) -> None:
    """`bind(2)`."""
    if not name:
        autobind(socket)
    elif name[0]:
        _bind_file(socket, name)
    else:
        _bind_abstract(socket, name)


def autobind(socket: Unix) -> None:
    """An abstract name that is free, unless the socket has a name already (`unix_autobind`)."""
    if socket.name:
        return
    stack = socket.stack
    for _ in range(_AUTOMATIC + 1):
        number = stack.counters["unix name"] = (stack.counters.get("unix name", 0) + 1) & _AUTOMATIC
        name = b"\0%05x" % number
        if _key(socket.type, name) not in stack.abstract:
            _take_abstract(socket, name)
            return
    raise error(errno.ENOSPC)


def _key(type_: int, name: bytes) -> bytes:
    # Abstract names are hashed with the type: a stream and a datagram socket may have the same one.
    return bytes((type_,)) + name


def _bind_abstract(socket: Unix, name: bytes) -> None:
    if socket.name:
        raise error(errno.EINVAL)
    if _key(socket.type, name) in socket.stack.abstract:
        raise error(errno.EADDRINUSE)
    _take_abstract(socket, name)


def _take_abstract(socket: Unix, name: bytes) -> None:
    socket.name = name
    socket.stack.abstract[_key(socket.type, name)] = socket


def _bind_file(socket: Unix, path: bytes) -> None:
    """The file comes first, so a name that exists is reported before a socket that is bound already."""
    file = files.make(path, socket)
    if socket.name:
        files.remove(path)
        raise error(errno.EINVAL)
    socket.name = path
    socket.socket_file = file


def leave(socket: Unix) -> None:
    """The socket is closed: nobody finds it by its name any more. A file stays."""
    if socket.socket_file is not None:
        socket.socket_file.socket = None
    elif socket.name:
        key = _key(socket.type, socket.name)
        if socket.stack.abstract.get(key) is socket:
            del socket.stack.abstract[key]


def find(stack: Stack, name: bytes, type_: int) -> Unix:
    """The socket with this name: what the path gives, EACCES, ECONNREFUSED, EPROTOTYPE (`unix_find_other`)."""
    if not name:
        raise error(errno.EINVAL)
    if not name[0]:
        found = stack.abstract.get(_key(type_, name))
        if found is None:
            raise error(errno.ECONNREFUSED)
        return _checked(found)
    file = files.look_behind_links(name)
    if file is None:
        try:
            files.real_stat(name)
        except OSError as problem:
            raise error(problem.errno or errno.ENOENT) from None
        if not files.real_access(name, os.W_OK):
            raise error(errno.EACCES)
        raise error(errno.ECONNREFUSED)
    if not file.allows(os.W_OK):
        raise error(errno.EACCES)
    found = file.socket
    if found is None or found.stack is not stack:
        raise error(errno.ECONNREFUSED)
    if found.type != type_:
        raise error(errno.EPROTOTYPE)
    return _checked(found)


def _checked(found: Unix) -> Unix:
    assert not found.closed, f"{found.describe()} is closed and still has its name"
    return found
