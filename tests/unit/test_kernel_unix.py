"""UNIX sockets, each behaviour compared with that of the Linux that the test runs on."""

from pathlib import Path

import pytest

from tests.support.twins import FACES, LINUX, as_on_linux
from tests.unit.kernel_harness import simulated

STREAM, DATAGRAM, SEQPACKET = 1, 2, 5
KINDS = pytest.mark.parametrize("kind", [STREAM, DATAGRAM, SEQPACKET], ids=["stream", "datagram", "seqpacket"])
CONNECTED = pytest.mark.parametrize("kind", [STREAM, SEQPACKET], ids=["stream", "seqpacket"])


@KINDS
def test_a_socket_without_a_name_or_a_peer(kind: int) -> None:
    def body(kind):
        import socket

        from tests.support.twins import Log, events

        log = Log()
        sock = socket.socket(socket.AF_UNIX, kind)
        sock.setblocking(False)
        log.note("poll", events, sock)
        log.note("names", lambda: (sock.getsockname(), sock.type, sock.getsockopt(1, 30), sock.getsockopt(1, 39)))
        log.note("recv", sock.recv, 1)
        log.note("send", sock.send, b"x")
        log.note("getpeername", sock.getpeername)
        log.note("listen", sock.listen)
        log.note("accept", sock.accept)
        log.note("shutdown", sock.shutdown, 2)
        log.note("shutdown", sock.shutdown, 7)
        log.note("poll", events, sock)
        log.note("recv", sock.recv, 1)
        return log

    as_on_linux(body, kind)


@KINDS
def test_binding(kind: int, tmp_path: Path) -> None:
    def body(kind, folder):
        import os
        import socket
        import stat
        import tempfile

        from tests.support.twins import Log

        os.chdir(tempfile.mkdtemp(dir=folder))
        os.umask(0o027)
        kept = []

        def bind(name):
            kept.append(socket.socket(socket.AF_UNIX, kind))
            kept[-1].bind(name)
            return kept[-1].getsockname()

        log = Log()
        open("file", "w").close()
        log.note("bind", bind, "path")
        sock = kept[-1]
        log.note("mode", lambda: (stat.S_ISSOCK(os.stat("path").st_mode), oct(os.stat("path").st_mode & 0o777)))
        log.note("taken", bind, "path")
        log.note("a file", bind, "file")
        log.note("no folder", bind, "missing/path")
        log.note("not a folder", bind, "file/path")
        log.note("again", sock.bind, "other")
        log.note("nothing left", os.path.exists, "other")
        log.note("again, taken", sock.bind, "file")
        log.note("again, abstract", sock.bind, "\0other")
        log.note("bytes", bind, b"bytes")
        log.note("a zero inside", bind, "cut\0off")
        log.note("longest", lambda: len(bind("x" * 107)))
        log.note("too long", bind, "x" * 108)
        log.note("abstract, too long", bind, b"\0" + b"x" * 108)
        log.note("number", bind, 3)
        log.note("tuple", bind, ("path", 1))
        log.note("surrogates", bind, "\udcff")
        sock.close()
        log.note("stays", os.path.exists, "path")
        log.note("still taken", bind, "path")
        os.unlink("path")
        log.note("free", bind, "path")
        return log

    as_on_linux(body, kind, str(tmp_path))


@KINDS
def test_abstract_and_automatic_names(kind: int) -> None:
    def body(kind):
        import os
        import re
        import socket

        from tests.support.twins import Log

        name = b"\0wavetank %d" % os.getppid()
        log = Log()
        one, other = socket.socket(1, kind), socket.socket(1, kind)
        log.note("bind", one.bind, name)
        log.note("name", lambda: one.getsockname() == name)
        log.note("taken", other.bind, name)
        log.note("again", one.bind, name + b" again")
        log.note("other type", socket.socket(1, 2 if kind != 2 else 5).bind, name)
        log.note("automatic", other.bind, "")
        log.note("five digits", lambda: bool(re.fullmatch(rb"\0[0-9a-f]{5}", other.getsockname())))
        log.note("twice", lambda: (before := other.getsockname(), other.bind(""), other.getsockname() == before)[2])
        one.close()
        log.note("free", lambda: socket.socket(1, kind).bind(name))
        return log

    as_on_linux(body, kind)


@KINDS
def test_connecting_to_what_does_not_take_it(kind: int, tmp_path: Path) -> None:
    def body(kind, folder):
        import os
        import socket
        import tempfile

        from tests.support.twins import Log

        os.chdir(tempfile.mkdtemp(dir=folder))
        open("file", "w").close()
        log = Log()

        def connect(name):
            with socket.socket(1, kind) as sock:
                sock.settimeout(0)
                sock.connect(name)

        bound, dead = socket.socket(1, kind), socket.socket(1, kind)
        bound.bind("bound")
        dead.bind("dead")
        dead.close()
        with socket.socket(1, {1: 2, 2: 5, 5: 1}[kind]) as different:
            different.bind("different")
            log.note("another type", connect, "different")
        for name in ("missing", "file", ".", "file/path", "bound", "dead", "\0nobody", "x" * 108, ""):
            log.note(name, connect, name)
        return log

    as_on_linux(body, kind, str(tmp_path))


@CONNECTED
def test_a_connection_by_name(kind: int, tmp_path: Path) -> None:
    def body(kind, folder):
        import os
        import socket
        import struct
        import tempfile

        from tests.support.twins import Log, events

        os.chdir(tempfile.mkdtemp(dir=folder))
        log = Log()
        listener, client = socket.socket(1, kind), socket.socket(1, kind)
        listener.setblocking(False)
        listener.bind("here")
        listener.listen(5)
        log.note("accept", listener.accept)
        log.note("listener", lambda: (events(listener), listener.getsockopt(1, 30), listener.getpeername()))
        log.note("send", listener.send, b"x")
        log.note("recv", listener.recv, 1)
        log.note("connect the listener", listener.connect, "here")
        client.bind("client")
        os.rename("here", "there")
        log.note("connect", client.connect, "there")
        log.note("names", lambda: (client.getsockname(), client.getpeername()))
        log.note("poll", lambda: (events(listener), events(client)))
        log.note("send early", client.send, b"early")
        log.note("twice", client.connect, "there")
        accepted, address = listener.accept()
        log.append((address, accepted.getsockname(), accepted.getpeername(), accepted.getblocking()))
        log.note("recvfrom", accepted.recvfrom, 9)
        log.note("credentials", lambda: [struct.unpack("3i", s.getsockopt(1, 17, 12))[1:] for s in (client, accepted)])
        log.note("credentials of nobody", lambda: struct.unpack("3i", socket.socket(1, kind).getsockopt(1, 17, 12)))
        log.note("connect accepted", accepted.connect, "there")
        log.note("listen on it", accepted.listen)
        listener.close()
        log.note("still there", lambda: (accepted.send(b"answer"), client.recv(9)))
        os.unlink("there")
        log.note("gone", socket.socket(1, kind).connect, "there")
        return log

    as_on_linux(body, kind, str(tmp_path))


@CONNECTED
@pytest.mark.parametrize("backlog", [0, 1, 5])
def test_the_backlog_takes_one_more(kind: int, backlog: int) -> None:
    def body(kind, backlog):
        import os
        import socket

        from tests.support.twins import Log, events, in_threads

        name = b"\0wavetank backlog %d" % os.getppid()
        log = Log()
        listener = socket.socket(1, kind)
        listener.bind(name)
        listener.listen(backlog)
        clients = []

        def connect():
            clients.append(socket.socket(1, kind))
            clients[-1].setblocking(False)
            clients[-1].connect(name)

        for _ in range(backlog + 3):
            log.note("connect", connect)
        log.note("accept", lambda: listener.accept()[1])
        log.note("connect", connect)
        waiting = socket.socket(1, kind)
        log.note("waits", in_threads, lambda: waiting.connect(name), lambda: listener.accept()[0].close())
        log.note("then", lambda: (waiting.send(b"x"), waiting.getpeername() == name))
        listener.close()
        log.note("waiting", events, waiting)
        log.note("reset", waiting.recv, 1)
        log.note("end", waiting.recv, 1)
        return log

    as_on_linux(body, kind, backlog)


@CONNECTED
def test_a_listener_that_is_shut_down(kind: int) -> None:
    def body(kind):
        import os
        import socket

        from tests.support.twins import Log, events, in_threads

        name = b"\0wavetank shut %d" % os.getppid()
        log = Log()
        listener = socket.socket(1, kind)
        listener.bind(name)
        listener.listen(5)
        log.note("accept", in_threads, listener.accept, lambda: listener.shutdown(0))
        log.note("poll", events, listener)
        log.note("connect", socket.socket(1, kind).connect, name)
        listener.setblocking(False)
        log.note("accept", listener.accept)
        return log

    as_on_linux(body, kind)


@KINDS
@pytest.mark.parametrize("how", [0, 1, 2])
def test_shutdown_in_every_combination(kind: int, how: int) -> None:
    def body(kind, how):
        import socket

        from tests.support.twins import Log, events

        log = Log()
        for second in (None, 0, 1, 2):
            one, other = socket.socketpair(1, kind)
            for sock in (one, other):
                sock.setblocking(False)
                sock.send(b"before")
            log.note("shutdown", one.shutdown, how)
            if second is not None:
                log.note("shutdown", other.shutdown, second)
            log.note("poll", lambda pair=(one, other): [events(sock) for sock in pair])
            for _ in range(2):
                for sock in (one, other):
                    log.note("recv", sock.recv, 9)
                    log.note("send", sock.send, b"after")
            log.note("poll", lambda pair=(one, other): [events(sock) for sock in pair])
        return log

    as_on_linux(body, kind, how)


@KINDS
@pytest.mark.parametrize("unread", [False, True])
def test_close(kind: int, unread: bool) -> None:
    def body(kind, unread):
        import socket

        from tests.support.twins import Log, events

        log = Log()
        one, other = socket.socketpair(1, kind)
        one.setblocking(False)
        other.send(b"left")
        if unread:
            one.send(b"unread")
        other.close()
        log.note("poll", events, one)
        for _ in range(3):
            log.note("recv", one.recv, 9)
        log.note("send", one.send, b"x")
        log.note("send", one.send, b"x")
        log.note("poll", events, one)
        log.note("getpeername", one.getpeername)
        log.note("SO_ERROR", one.getsockopt, 1, 4)
        return log

    as_on_linux(body, kind, unread)


def test_threads_wait_for_data_room_and_the_end() -> None:
    def body():
        import socket

        from tests.support.twins import Log, in_threads

        log = Log()
        one, other = socket.socketpair()
        log.note("data", in_threads, lambda: one.recv(9), lambda: other.send(b"late"))
        log.note("the end", in_threads, lambda: one.recv(9), other.close)
        one, other = socket.socketpair()
        big = bytes(range(256)) * 4096

        def read_all():
            data = b""
            while len(data) < len(big):
                data += other.recv(50_000)
            return data == big

        log.note("a large send", in_threads, lambda: one.send(big), read_all)
        log.note("sendall", in_threads, lambda: one.sendall(big), read_all)
        log.note(
            "WAITALL",
            in_threads,
            lambda: len(one.recv(2000, 0x100)),
            lambda: (other.send(bytes(1999)), other.send(b"x")),
        )
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.note("datagram", in_threads, lambda: one.recv(9), lambda: other.send(b"late"))
        log.note("shut down", in_threads, lambda: one.recv(9), lambda: one.shutdown(0))
        return log

    as_on_linux(body)


@KINDS
def test_the_buffer_holds_memory_not_bytes(kind: int) -> None:
    def body(kind):
        import socket

        from tests.support.twins import events

        def fill(size, buffer):
            one, other = socket.socketpair(1, kind)
            one.setblocking(False)
            other.setblocking(False)
            if buffer:
                one.setsockopt(1, 7, buffer)
            result = [size, one.getsockopt(1, 7)]
            sent = []
            try:
                while True:
                    sent.append(one.send(b"x" * size))
            except OSError as error:
                result.append(error.errno)
            result += [sum(sent), len(sent), sent[-1:], events(one)]
            received = 0
            while not events(one):
                received += len(other.recv(3000 if kind == 1 else 300_000))
            return [*result, received]

        sizes = (
            1,
            100,
            192,
            193,
            704,
            705,
            1000,
            1728,
            1729,
            3776,
            3777,
            4096,
            8192,
            16064,
            16065,
            36544,
            65536,
            100000,
        )
        return [fill(size, buffer) for size in sizes for buffer in (0, 1, 20000, 100000)]

    as_on_linux(body, kind)


def test_the_largest_datagram() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.note("fits", lambda: (one.send(bytes(212_992 - 32)), len(other.recv(300_000))))
        log.note("too large", one.send, bytes(212_992 - 31))
        one.setsockopt(1, 7, 5000)
        log.note("fits", lambda: (one.send(bytes(10_000 - 32)), len(other.recv(300_000))))
        log.note("too large", one.send, bytes(10_000 - 31))
        log.note("sizes in bytes", one.setsockopt, 1, 7, b"\1\2\3")
        return log

    as_on_linux(body)


@pytest.mark.parametrize("kind", [DATAGRAM, SEQPACKET], ids=["datagram", "seqpacket"])
def test_messages_keep_their_borders(kind: int) -> None:
    def body(kind):
        import fcntl
        import os
        import socket
        import termios

        from tests.support.twins import Log, events

        log = Log()
        one, other = socket.socketpair(1, kind)
        other.setblocking(False)
        log.note("cut", lambda: (one.send(b"hello"), one.send(b"next"), other.recv(3), other.recv(9)))
        log.note("flag", lambda: (one.send(b"hello"), other.recvmsg(3)))
        log.note("true length", lambda: (one.send(b"hello"), len(other.recv(3, socket.MSG_TRUNC))))
        log.note("peek", lambda: (one.send(b"hello"), other.recv(3, socket.MSG_PEEK), other.recv(9)))
        log.note("nothing", lambda: (one.send(b""), events(other), other.recv(9), events(other)))
        log.note("recv(0)", lambda: (one.send(b"stays"), other.recv(0), other.recv(9)))
        log.note("read(0)", lambda: (one.send(b"stays"), os.read(other.fileno(), 0), other.recv(9)))
        one.send(b"abc")
        one.send(b"defg")
        log.note("unread", fcntl.ioctl, other, termios.FIONREAD, b"0000")
        log.note("unsent", fcntl.ioctl, one, termios.TIOCOUTQ, b"0000")
        log.note("os", lambda: (os.write(one.fileno(), b"by os"), [os.read(other.fileno(), 4) for _ in range(3)]))
        log.note("urgent", one.send, b"x", socket.MSG_OOB)
        log.note("urgent", other.recv, 1, socket.MSG_OOB)
        return log

    as_on_linux(body, kind)


def test_a_stream_joins_messages() -> None:
    def body():
        import fcntl
        import socket
        import termios

        from tests.support.twins import Log

        log = Log()
        one, other = socket.socketpair()
        other.setblocking(False)
        log.note("nothing", one.send, b"")
        for part in (b"one", b"two", bytearray(b"three"), memoryview(b"four")):
            one.send(part)
        log.note("unread", fcntl.ioctl, other, termios.FIONREAD, b"0000")
        log.note("unsent", fcntl.ioctl, one, termios.TIOCOUTQ, b"0000")
        log.note("peek", other.recv, 5, socket.MSG_PEEK)
        log.note("peek all", other.recv, 99, socket.MSG_PEEK)
        log.note("recv", other.recv, 5)
        log.note("truncating means nothing", other.recv, 3, socket.MSG_TRUNC)
        log.note("recv", other.recv, 99)
        log.note("empty", other.recv, 99)
        log.note("to a name", one.sendto, b"x", "name")
        log.note("to a name", socket.socket(1, 1).sendto, b"x", "name")
        return log

    as_on_linux(body)


def test_datagrams_by_name(tmp_path: Path) -> None:
    def body(folder):
        import os
        import socket
        import tempfile

        from tests.support.twins import Log, events

        os.chdir(tempfile.mkdtemp(dir=folder))

        def new(name=""):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.setblocking(False)
            if name:
                sock.bind(name)
            return sock

        log = Log()
        a, b, c, nameless = new("a"), new("b"), new("c"), new()
        log.note("to b", a.sendto, b"hi", "b")
        log.note("from a", b.recvfrom, 9)
        log.note("nameless", lambda: (nameless.sendto(b"hi", "b"), b.recvfrom(9)))
        log.note("nobody", a.sendto, b"hi", "missing")
        log.note("no name", a.sendto, b"hi", "")
        log.note("connect", lambda: (a.connect("b"), a.getpeername(), a.getsockname()))
        log.note("send", lambda: (a.send(b"x"), b.recv(9)))
        log.note("connected, to c", lambda: (a.sendto(b"x", "c"), c.recvfrom(9)))
        log.note("b may answer", lambda: (b.sendto(b"y", "a"), a.recv(9)))
        log.note("c may not", c.sendto, b"z", "a")
        log.note("nor connect", c.connect, "a")
        log.note("b connects", b.connect, "a")
        log.note("unread for a", lambda: b.send(b"lost"))
        log.note("a turns away", lambda: a.connect("c"))
        log.note("what was unread", lambda: (events(a), a.recv(9)))
        log.note("b learns it", lambda: (events(b), b.getsockopt(1, 4), events(b)))
        log.note("b cannot send", b.send, b"x")
        c.close()
        log.note("gone", a.send, b"x")
        log.note("no peer", a.send, b"x")
        log.note("no peer", a.getpeername)
        log.note("to itself", lambda: (b2 := new("d"), b2.sendto(b"me", "d"), b2.recvfrom(9))[1:])
        return log

    as_on_linux(body, str(tmp_path))


def test_the_queue_of_a_datagram_socket() -> None:
    def body():
        import os
        import socket

        from tests.support.twins import Log, events, in_threads

        name = b"\0wavetank queue %d" % os.getppid()
        log = Log()
        receiver, sender = socket.socket(1, 2), socket.socket(1, 2)
        receiver.bind(name)
        sender.setblocking(False)

        def many():
            count = 0
            try:
                while count < 400:
                    sender.send(b"m")
                    count += 1
            except OSError as error:
                return count, error.errno, events(sender)
            return count

        log.note("unconnected", lambda: [sender.sendto(b"m", name) for _ in range(11)])
        log.note("full", sender.sendto, b"m", name)
        log.note("still writable", events, sender)
        sender.connect(name)
        log.note("connected", many)
        receiver.recv(9)
        log.note("one more", lambda: (events(sender), many()))
        sender.setblocking(True)
        log.note("waits", in_threads, lambda: sender.send(b"m"), lambda: receiver.recv(9))
        log.note("the receiver goes", in_threads, lambda: sender.send(b"m"), receiver.close)
        return log

    as_on_linux(body)


def test_descriptors_travel() -> None:
    def body():
        import array
        import os
        import socket
        import struct

        from tests.support.twins import Log, events

        log = Log()
        one, other = socket.socketpair()
        reader, _ = os.pipe()
        more = socket.socket(socket.AF_UNIX)

        def send(data, *fds):
            return one.sendmsg([data], [(1, 1, array.array("i", fds).tobytes())])

        def receive(size, room, flags=0):
            data, items, found, address = other.recvmsg(size, room, flags)
            for level, kind, content in items:
                if (level, kind) == (1, 1):
                    for fd in array.array("i", content[: len(content) // 4 * 4]):
                        os.close(fd)
            return data, [(level, kind, len(content)) for level, kind, content in items], found, address

        log.note("two", lambda: (send(b"hello", reader, more.fileno()), receive(99, 99)))
        log.note("peek", lambda: (send(b"hello", reader), receive(99, 99, 2), receive(99, 99)))
        log.note("room for one", lambda: (send(b"hello", reader, reader), receive(99, 20)))
        log.note("no room", lambda: (send(b"hello", reader), receive(99, 0)))
        log.note("too little room", lambda: (send(b"hello", reader), receive(99, 10)))
        log.note("recv loses them", lambda: (send(b"hello", reader), other.recv(3), receive(99, 99)))
        log.note(
            "a border", lambda: (one.send(b"1"), send(b"2", reader), one.send(b"3"), receive(99, 99), receive(99, 99))
        )
        log.note("in part", lambda: (send(b"two", reader), one.send(b"3"), receive(1, 99), receive(99, 99)))
        log.note("closed", send, b"x", 999)
        log.note("too many", send, b"x", *[reader] * 254)
        log.note("most", lambda: (send(b"x", *[reader] * 253), receive(9, 16 + 253 * 4)))
        log.note("without data", lambda: (send(b"", reader), events(other)))
        log.note("unknown kind", lambda: one.sendmsg([b"x"], [(1, 77, b"abcd")]))
        log.note("unknown level", lambda: (one.sendmsg([b"x"], [(41, 77, b"abcd")]), receive(9, 99)))
        with (
            open("/etc/hostname", "rb")
            if os.path.exists("/etc/hostname")
            else open(__import__("os").__file__, "rb") as file
        ):
            first = file.read(1)
            file.seek(0)
            send(b"real", file.fileno())
        fd = struct.unpack("i", other.recvmsg(9, 99)[1][0][2])[0]
        log.note("a file on disk", lambda: (os.read(fd, 1) == first, os.get_inheritable(fd)))
        for flags in (0, socket.MSG_CMSG_CLOEXEC):
            send(b"x", reader)
            data, items, found, _ = other.recvmsg(9, 99, flags)
            log.note("inherited", lambda items=items: os.get_inheritable(struct.unpack("i", items[0][2])[0]))
            log.append((data, found))
        return log

    as_on_linux(body)


def test_a_descriptor_under_way_keeps_its_file_open() -> None:
    def body():
        import array
        import os
        import socket
        import struct

        from tests.support.twins import Log, events

        log = Log()
        one, other = socket.socketpair()
        near, far = socket.socketpair()
        far.setblocking(False)
        one.sendmsg([b"x"], [(1, 1, array.array("i", [near.fileno()]).tobytes())])
        near.close()
        log.note("open", far.recv, 1)
        fd = struct.unpack("i", other.recvmsg(9, 99)[1][0][2])[0]
        log.note("works", lambda: (os.write(fd, b"!"), far.recv(9)))
        os.close(fd)
        log.note("closed", far.recv, 1)
        near, far = socket.socketpair()
        one.sendmsg([b"x"], [(1, 1, array.array("i", [near.fileno()]).tobytes())])
        near.close()
        other.close()
        log.note("closed with the message", events, far)
        return log

    as_on_linux(body)


def test_credentials() -> None:
    def body():
        import os
        import socket
        import struct

        from tests.support.twins import Log

        log = Log()
        one, other = socket.socketpair()
        mine = struct.unpack("3i", one.getsockopt(1, 17, 12))
        log.note("peer", lambda: (mine[1:] == (os.getuid(), os.getgid()), one.getsockopt(1, 17) == mine[0]))
        log.note("not asked for", lambda: (one.send(b"x"), other.recvmsg(9, 99)))
        one.send(b"before")
        other.setsockopt(1, 16, 1)
        log.note("option", other.getsockopt, 1, 16)
        log.note("sent before", lambda: struct.unpack("3i", other.recvmsg(99, 99)[1][0][2]))
        one.send(b"after")
        log.note("sent after", lambda: struct.unpack("3i", other.recvmsg(99, 99)[1][0][2]) == mine)
        log.note("no room", lambda: (one.send(b"x"), other.recvmsg(9, 0)))
        log.note("cut", lambda: (one.send(b"x"), len(other.recvmsg(9, 24)[1][0][2])))
        log.note("by hand", lambda: one.sendmsg([b"x"], [(1, 2, struct.pack("3i", *mine))]))
        log.note("received", lambda: struct.unpack("3i", other.recvmsg(99, 99)[1][0][2]) == mine)
        log.note("wrong length", lambda: one.sendmsg([b"x"], [(1, 2, b"abc")]))
        return log

    as_on_linux(body)


def test_a_network_client_and_a_server_by_asyncio(tmp_path: Path) -> None:
    def body(folder):
        import asyncio
        import os
        import tempfile

        os.chdir(tempfile.mkdtemp(dir=folder))

        async def main():
            async def serve(reader, writer):
                while line := await reader.readline():
                    writer.write(line.upper())
                    await writer.drain()
                writer.close()

            server = await asyncio.start_unix_server(serve, "socket")
            reader, writer = await asyncio.open_unix_connection("socket")
            lines = []
            for number in range(50):
                writer.write(b"line %d " % number + b"x" * 5000 + b"\n")
                lines.append(len(await reader.readline()))
            writer.write_eof()
            lines.append(await reader.read())
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            return lines

        return asyncio.run(main())

    as_on_linux(body, str(tmp_path))


@pytest.mark.skipif(LINUX < (6, 14), reason="older kernels report ENOTCONN ahead of other errors")
def test_the_order_of_errors_without_a_peer() -> None:
    def body():
        import socket

        from tests.support.twins import Log

        log = Log()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.note("too large", sock.send, bytes(300_000))
        sock.shutdown(1)
        log.note("shut down", sock.send, b"x")
        return log

    as_on_linux(body)


def test_the_file_of_a_socket(tmp_path: Path) -> None:
    def body(folder):
        import glob
        import os
        import pathlib
        import shutil
        import socket
        import stat
        import tempfile

        from tests.support.twins import Log

        place = tempfile.mkdtemp(dir=folder)
        os.chdir(place)
        log = Log()
        kept = []

        def bind(path):
            kept.append(socket.socket(socket.AF_UNIX))
            kept[-1].bind(path)
            kept[-1].listen()
            return kept[-1].getsockname()

        def connect(path):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                return client.getpeername()

        def kind(path, look=os.stat):
            found = look(path)
            same = (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
            return (
                stat.filemode(found.st_mode),
                found.st_nlink,
                found.st_size,
                same,
                found.st_dev == os.stat(".").st_dev,
            )

        def scanned(folder):
            with os.scandir(folder) as entries:
                return sorted(
                    (entry.name, str(entry.path), entry.is_dir(), entry.is_file(), entry.is_symlink(),
                     stat.S_IFMT(entry.stat().st_mode))
                    for entry in entries
                )  # fmt: skip

        def by_number(folder, call):
            fd = os.open(folder, os.O_RDONLY)
            try:
                return call(fd)
            finally:
                os.close(fd)

        os.mkdir("sub")
        sub = pathlib.Path("sub")
        log.note("bind", bind, "sub/here")
        for path in ("sub/here", "./sub/../sub/here", f"{place}/sub/here", b"sub/here", pathlib.Path("sub/here")):
            log.note("seen", kind, path)
        log.note("lstat", kind, "sub/here", os.lstat)
        log.note("connect", lambda: connect(f"{place}/sub/../sub/here") == f"{place}/sub/here" or connect("sub/here"))
        log.note("exists", lambda: [os.path.exists(path) for path in ("sub/here", "sub/there", "here", "sub/here/")])
        log.note(
            "is", lambda: (pathlib.Path("sub/here").is_socket(), os.path.isfile("sub/here"), os.path.islink("sub/here"))
        )
        log.note("listed", lambda: (os.listdir("sub"), os.listdir(b"sub"), os.listdir()))
        open("sub/file", "w").close()
        log.note("scanned", lambda: scanned("sub"))
        log.note("scanned as bytes", lambda: scanned(b"sub"))
        log.note("scanned by number", lambda: by_number("sub", scanned))
        log.note("inode", lambda: [entry.inode() == os.lstat(entry).st_ino for entry in os.scandir("sub")])
        log.note("globbed", lambda: (sorted(glob.glob("sub/*")), glob.glob("**/here", recursive=True)))
        log.note("paths", lambda: [sorted(map(str, found)) for found in (sub.iterdir(), sub.rglob("h*"))])
        log.note("walked", lambda: [(top, sorted(names)) for top, _, names in os.walk(".")])
        log.note("by number", lambda: by_number("sub", lambda fd: kind("here", lambda path: os.stat(path, dir_fd=fd))))
        log.note("in the way", os.rmdir, "sub")
        os.remove("sub/file")
        log.note("alone in the way", os.rmdir, "sub")
        log.note("mode", lambda: (os.chmod("sub/here", 0o600), kind("sub/here")))
        log.note("access", lambda: [os.access("sub/here", mode) for mode in (os.F_OK, os.R_OK, os.X_OK)])
        log.note("open", open, "sub/here")
        log.note("open to write", open, "sub/here", "w")
        log.note("make", open, "sub/here", "x")
        log.note("os.open", os.open, "sub/here", os.O_RDONLY)
        log.note("owner", os.chown, "sub/here", -1, -1)
        log.note("rename", lambda: (os.rename("sub/here", "there"), os.listdir("sub"), connect("there")))
        log.note("link", lambda: (os.link("there", "again"), kind("again"), connect("again")))
        log.note("link on it", os.link, "there", "again")
        log.note("symbolic", lambda: (os.symlink("there", "symbolic"), kind("symbolic"), connect("symbolic")))
        log.note(
            "symbolic", lambda: (kind("symbolic", os.lstat)[0][0], os.path.realpath("symbolic") == f"{place}/there")
        )
        log.note("on the symbolic", bind, "symbolic")
        open("file", "w").close()
        log.note("onto a file", lambda: (os.replace("again", "file"), kind("file"), os.path.exists("again")))
        open("plain", "w").close()
        log.note("under a file", lambda: (os.replace("plain", "file"), os.path.isfile("file"), connect("there")))
        log.note("missing", os.rename, "missing", "there")
        log.note("to nowhere", os.rename, "there", "missing/there")
        log.note("unlink", lambda: (os.unlink("there"), os.path.exists("there"), os.path.lexists("symbolic")))
        log.note("twice", os.unlink, "there")
        log.note("nobody", connect, "symbolic")
        log.note("folder renamed", lambda: (bind("sub/x"), os.rename("sub", "other"), connect("other/x")))
        log.note("bind again", lambda: (pathlib.Path("other/x").unlink(), bind("other/x"), connect("other/x")))
        log.note("removed with the folder", lambda: (shutil.rmtree("other"), os.mkdir("other"), bind("other/x")))
        log.note("remove", lambda: (os.remove("other/x"), os.rmdir("other"), os.path.exists("other")))
        return log

    as_on_linux(body, str(tmp_path))


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    def body(folder):
        import os
        import socket

        socket.socket(socket.AF_UNIX).bind(f"{folder}/socket")
        return os.listdir(folder)

    for _ in range(2):
        assert simulated(body, str(tmp_path), faces=FACES) == ["socket"]
    assert list(tmp_path.iterdir()) == []


def test_hosts_do_not_share_names() -> None:
    def body():
        import socket

        here = socket.socket(socket.AF_UNIX)
        here.bind("\0name")
        here.listen()
        world = harness.World.current  # noqa: F821  # the harness gives it to the body
        found = []

        def there():
            try:
                socket.socket(socket.AF_UNIX).connect("\0name")
            except OSError as error:
                found.append(error.errno)

        world.start(world.process("beta", "other", 200), there)
        import time

        time.sleep(1)
        return found

    assert simulated(body, faces=FACES) == [111]


def test_urgent_data_is_refused_by_name() -> None:
    def body():
        import socket

        one, _ = socket.socketpair()
        try:
            one.send(b"x", socket.MSG_OOB)
        except OSError as error:
            return type(error).__name__, error.errno, str(error).partition("\n")[0]

    assert simulated(body, faces=FACES) == ("NotSimulatedOSError", 95, "socket.send(MSG_OOB) is not simulated")
