"""Descriptor calls on simulated descriptors, compared with the same calls on those of the Linux the test runs on."""

# ruff: noqa: SIM115  # how `open` behaves is what is tested here

from pathlib import Path

from tests.support.twins import FACES, as_on_linux
from tests.unit.kernel_harness import simulated


def test_what_linux_refuses_on_pipes_sockets_and_counters() -> None:
    def body():
        import os
        import socket
        import termios

        from tests.support.twins import Log

        log = Log()
        reader, writer = os.pipe()
        sock, peer = socket.socketpair()
        for name, fd in (("pipe", reader), ("pipe", writer), ("socket", sock.fileno()), ("counter", os.eventfd(0))):
            log.append(name)
            log.note("lseek", os.lseek, fd, 0, 0)
            log.note("pread", os.pread, fd, 1, 0)
            log.note("pwrite", os.pwrite, fd, b"x", 0)
            log.note("preadv", os.preadv, fd, [bytearray(1)], 0)
            log.note("pwritev", os.pwritev, fd, [b"x"], 0)
            log.note("fsync", os.fsync, fd)
            log.note("fdatasync", os.fdatasync, fd)
            log.note("ftruncate", os.ftruncate, fd, 0)
            log.note("truncate", os.truncate, fd, 0)
            log.note("fchdir", os.fchdir, fd)
            log.note("chdir", os.chdir, fd)
            log.note("listdir", os.listdir, fd)
            log.note("scandir", os.scandir, fd)
            log.note("isatty", os.isatty, fd)
            log.note("ttyname", os.ttyname, fd)
            log.note("get_terminal_size", os.get_terminal_size, fd)
            log.note("device_encoding", os.device_encoding, fd)
            log.note("tcgetpgrp", os.tcgetpgrp, fd)
            log.note("copy_file_range", os.copy_file_range, fd, writer, 1)
            log.note("sendfile", os.sendfile, writer, fd, 0, 1)
            log.note("sendfile", os.sendfile, peer.fileno(), fd, None, 1)
            log.note("splice", os.splice, fd, peer.fileno(), 0)
            log.note("exists", os.path.exists, fd)
            try:
                termios.tcgetattr(fd)
            except termios.error as error:
                log.append(error.args)
        for fd in (reader, writer, sock.fileno()):
            log.note("fadvise", os.posix_fadvise, fd, 0, 0, 0)
            log.note("fallocate", os.posix_fallocate, fd, 0, 1)
            log.note("PC_PIPE_BUF", os.fpathconf, fd, "PC_PIPE_BUF")
        return log

    as_on_linux(body)


def test_what_fstat_says() -> None:
    def body():
        import os
        import socket
        import stat

        reader, writer = os.pipe()
        sock, peer = socket.socketpair()
        again, counter = os.dup(reader), os.eventfd(0)
        found = [os.fstat(fd) for fd in (reader, writer, again, sock.fileno(), peer.fileno(), counter)]
        kinds = [(oct(each.st_mode), each.st_dev, each.st_nlink, each.st_size, each.st_blksize) for each in found]
        same = [each.st_ino == found[0].st_ino for each in found]
        tests = [stat.S_ISFIFO(found[0].st_mode), stat.S_ISSOCK(found[3].st_mode), os.path.sameopenfile(reader, again)]
        owner = {(each.st_uid, each.st_gid) == (os.getuid(), os.getgid()) for each in found}
        types = [type(value).__name__ for value in (found[0].st_atime, found[0].st_mtime_ns, found[0].st_rdev)]
        return [kind[:1] + kind[2:] for kind in kinds], same, tests, owner, types, os.stat(reader).st_mode

    as_on_linux(body)


def test_dup_and_close() -> None:
    def body():
        import fcntl
        import os
        import socket

        from tests.support.twins import Log, events

        log = Log()
        reader, writer = os.pipe()
        again = os.dup(writer)
        log.note("works", lambda: (os.write(again, b"x"), os.read(reader, 9)))
        log.note("shared flags", lambda: (os.set_blocking(again, False), os.get_blocking(writer))[1])
        log.note("not inherited", os.get_inheritable, again)
        log.note("dup2", lambda: os.dup2(writer, again) == again)
        log.note("inherited", os.get_inheritable, again)
        log.note("dup2", lambda: os.dup2(writer, again, inheritable=False) == again)
        log.note("not inherited", os.get_inheritable, again)
        log.note("itself", lambda: os.dup2(writer, writer) == writer)
        log.note("closed", os.dup2, 987, writer)
        log.note("no number", os.dup2, writer, -1)
        log.note("none", os.dup, 987)
        log.note(
            "F_DUPFD", lambda: (fd := fcntl.fcntl(writer, fcntl.F_DUPFD, 0), os.get_inheritable(fd), os.close(fd))[1]
        )
        log.note(
            "F_DUPFD_CLOEXEC",
            lambda: (fd := fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 0), os.get_inheritable(fd), os.close(fd))[1],
        )
        log.note("F_DUPFD", fcntl.fcntl, writer, fcntl.F_DUPFD, -1)
        one, other = socket.socketpair()
        log.note("onto a socket", lambda: (os.dup2(writer, one.fileno()), other.recv(9))[1])
        log.note("no socket now", one.send, b"x")
        log.note("set", lambda: (os.set_inheritable(writer, True), os.get_inheritable(writer)))
        os.close(again)
        os.close(one.fileno())
        log.note("writer left", events, reader)
        lowest = os.dup(reader)
        os.close(lowest)
        log.note("the lowest number again", lambda: os.dup(reader) == lowest)
        log.note("close", os.close, 987)
        log.note("range", lambda: (os.closerange(writer, writer + 1), events(reader)))
        log.note("gone", os.write, writer, b"x")
        return log

    as_on_linux(body)


def test_open_gives_the_files_of_the_interpreter() -> None:
    def body():
        import io
        import os
        import re

        from tests.support.twins import Log

        log = Log()
        reader, writer = os.pipe()
        kept = []

        def make(fd, *args, **options):
            file = open(fd, *args, closefd=False, **options)
            kept.append(file)
            raw = getattr(getattr(file, "buffer", file), "raw", file)
            text = re.sub(r"name=\d+", "name=N", repr(file))
            return (
                text, type(file).__name__, file.mode, raw.mode, raw.closefd, file.name == fd, file.fileno() == fd,
                file.closed, file.isatty(), file.seekable(), file.readable(), file.writable(),
                isinstance(raw, io.FileIO),
            )  # fmt: skip

        for fd, mode in ((reader, "r"), (reader, "rb"), (writer, "w"), (writer, "wb"), (writer, "a"), (writer, "ab")):
            log.note(mode, make, fd, mode)
        log.note("default", make, reader)
        log.note("unbuffered", make, reader, "rb", 0)
        log.note("lines", make, writer, "w", 1)
        log.note("latin", lambda: (make(reader, encoding="latin-1", errors="ignore", newline=""), kept[-1].encoding))
        for mode in ("r+", "w+", "rw", "", "rr", "rbt", "q", "+", "rU"):
            log.note(mode, make, reader, mode)
        log.note("r+b unbuffered", make, reader, "r+b", 0)
        log.note("x", make, writer, "xb", 0)
        log.note("unbuffered text", make, reader, "r", 0)
        log.note("encoding", make, reader, "rb", encoding="utf-8")
        log.note("newline", make, reader, "rb", newline="")
        log.note("errors", make, reader, "rb", errors="ignore")
        log.note("buffering", make, reader, "rb", -2)
        log.note("closed", open, 987)
        log.note("negative", open, -1)
        log.note("FileIO", lambda: re.sub(r"name=\d+", "name=N", repr(io.FileIO(reader, closefd=False))))
        for mode in ("rw", "", "b", "rt", "++r"):
            log.note("FileIO " + mode, io.FileIO, reader, mode, False)
        log.note("fdopen", lambda: os.fdopen(reader, "rb", closefd=False).mode)
        log.note("fdopen", os.fdopen, "3")
        return log

    as_on_linux(body)


def test_reading_and_writing_through_files() -> None:
    def body():
        import io
        import os

        from tests.support.twins import Log

        log = Log()
        reader, writer = os.pipe()
        out, into = open(writer, "w", encoding="utf-8"), open(reader, encoding="utf-8")
        log.note("write", out.write, "first\nzweite Zeile äöü\r\nthird\n")
        log.note("flush", out.flush)
        log.note("readline", into.readline)
        log.note("next", next, into)
        log.note("print", lambda: print("printed", 7, file=out, flush=True))
        log.note("read", into.read, 3)
        log.note("write the reader", into.write, "x")
        log.note("read the writer", out.read)
        log.note("seek", into.seek, 0)
        log.note("tell", into.tell)
        log.note("truncate", lambda: out.truncate(0))
        log.note("close", out.close)
        log.note("closed", lambda: (out.closed, out.buffer.closed, out.buffer.raw.closed, repr(out.buffer.raw)))
        log.note("the descriptor too", os.write, writer, b"x")
        log.note("the rest", into.read)
        log.note("the end", into.read)
        into.close()
        log.note("closed", into.read)
        log.note("closed", into.fileno)
        reader, writer = os.pipe2(os.O_NONBLOCK)
        raw_in, raw_out = open(reader, "rb", 0), open(writer, "wb", 0)
        log.note("nothing there", raw_in.read, 9)
        log.note("nothing there", raw_in.readall)
        log.note("nothing there", raw_in.readinto, bytearray(9))
        log.note("taken", raw_out.write, bytes(70_000))
        log.note("nothing taken", raw_out.write, b"x")
        log.note("readinto", raw_in.readinto, bytearray(100))
        log.note("all there is", lambda: len(raw_in.readall()))
        log.note("read the writer", raw_out.read)
        log.note("write the reader", raw_in.write, b"x")
        log.note("seek", raw_in.seek, 0)
        log.note("truncate", raw_out.truncate, 3)
        log.note("truncate", raw_in.truncate, 3)
        log.note("buffered, nothing there", lambda: open(reader, "rb", closefd=False).read(5))
        raw_out.close()
        log.note("end", lambda: (raw_in.read(9), raw_in.readall(), raw_in.readinto(bytearray(1))))
        raw_in.close()
        log.note("closed", raw_in.read, 1)
        log.note("twice", raw_in.close)
        reader, writer = os.pipe()
        with open(writer, "wb") as file:
            file.write(b"1234567890")
        with io.FileIO(reader) as file, io.BufferedReader(file, 4) as buffered:
            log.append((buffered.peek(1)[:1], buffered.read(5), buffered.read()))
        log.note("closed", os.read, reader, 1)
        return log

    as_on_linux(body)


def test_a_file_that_is_dropped_warns_and_closes() -> None:
    def body():
        import gc
        import os
        import re
        import warnings

        from tests.support.twins import events

        seen = []
        for buffering in (0, -1):
            reader, writer = os.pipe()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                open(writer, "wb", buffering)
                gc.collect()
            seen.append([(item.category.__name__, re.sub(r"name=\d+", "name=N", str(item.message))) for item in caught])
            seen.append(events(reader))
        return seen

    as_on_linux(body)


def test_subclasses_of_fileio_work_on_disk(tmp_path: Path) -> None:
    def body(folder):
        import io
        import os
        import tempfile

        path = tempfile.mkstemp(dir=folder)[1]

        class Counted(io.FileIO):
            def write(self, data):
                self.count = getattr(self, "count", 0) + 1
                return super().write(data)

        with Counted(path, "w") as file:
            file.write(b"one")
            file.write(b"two")
            found = [
                file.count,
                isinstance(file, io.FileIO),
                issubclass(Counted, io.FileIO),
                issubclass(Counted, io.RawIOBase),
            ]
        with open(path, "rb", 0) as plain:
            found += [plain.read(), isinstance(plain, io.FileIO), plain.mode]
        with io.FileIO(os.open(path, os.O_RDONLY)) as number:
            found += [number.read(), isinstance(number, io.FileIO)]
        return found

    as_on_linux(body, str(tmp_path))


def test_sendfile(tmp_path: Path) -> None:
    def body(folder):
        import os
        import socket
        import tempfile

        from tests.support.twins import Log, in_threads

        log = Log()
        fd, path = tempfile.mkstemp(dir=folder)
        content = bytes(range(256)) * 1200
        os.write(fd, content)
        os.lseek(fd, 100, os.SEEK_SET)
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()

        def receive(size):
            data = b""
            while len(data) < size:
                data += server.recv(size - len(data))
            return data

        log.note("with offset", lambda: (os.sendfile(client.fileno(), fd, 5, 1000), receive(1000) == content[5:1005]))
        log.note("unmoved", os.lseek, fd, 0, os.SEEK_CUR)
        log.note("own place", lambda: (os.sendfile(client.fileno(), fd, None, 10), receive(10) == content[100:110]))
        log.note("moved", os.lseek, fd, 0, os.SEEK_CUR)
        log.note("at the end", os.sendfile, client.fileno(), fd, len(content), 10)
        log.note("past the end", os.sendfile, client.fileno(), fd, len(content) - 3, 10)
        log.note("rest", receive, 3)
        log.note("nothing", os.sendfile, client.fileno(), fd, 0, 0)
        log.note(
            "everything",
            in_threads,
            lambda: os.sendfile(client.fileno(), fd, 0, len(content)),
            lambda: receive(len(content)) == content,
        )
        with open(path, "rb") as file:
            log.note(
                "socket.sendfile", in_threads, lambda: client.sendfile(file), lambda: receive(len(content)) == content
            )
        one, other = socket.socketpair()
        one.setblocking(False)
        sent = os.sendfile(one.fileno(), fd, 0, len(content))
        log.append(0 < sent < len(content))
        log.note("full", os.sendfile, one.fileno(), fd, sent, 10)
        log.note("what was sent", lambda: other.recv(sent) == content[:sent])
        other.close()
        log.note("broken", os.sendfile, one.fileno(), fd, 0, 10)
        reader, writer = os.pipe()
        log.note("to a pipe", lambda: (os.sendfile(writer, fd, 0, 5), os.read(reader, 9)))
        one, other = socket.socketpair()
        one.send(b"hello")
        log.note("socket to pipe", lambda: (os.sendfile(writer, other.fileno(), None, 9), os.read(reader, 9)))
        log.note("pipe to pipe", os.sendfile, writer, reader, None, 1)
        for each in (listener, client, server):
            each.close()
        return log

    as_on_linux(body, str(tmp_path))


def test_splice(tmp_path: Path) -> None:
    def body(folder):
        import os
        import socket
        import tempfile

        from tests.support.twins import Log, in_threads

        log = Log()
        fd, _ = tempfile.mkstemp(dir=folder)
        os.write(fd, b"0123456789" * 1000)
        os.lseek(fd, 0, os.SEEK_SET)
        reader, writer = os.pipe()
        one, other = socket.socketpair()
        log.note("file to pipe", lambda: (os.splice(fd, writer, 5), os.read(reader, 9), os.lseek(fd, 0, 1)))
        log.note(
            "with offset", lambda: (os.splice(fd, writer, 5, offset_src=2), os.read(reader, 9), os.lseek(fd, 0, 1))
        )
        log.note(
            "socket to pipe", lambda: (other.send(b"hello"), os.splice(one.fileno(), writer, 99), os.read(reader, 9))
        )
        log.note(
            "pipe to socket", lambda: (os.write(writer, b"hello"), os.splice(reader, one.fileno(), 3), other.recv(9))
        )
        log.note("the rest", os.read, reader, 9)
        log.note(
            "pipe to file",
            lambda: (os.write(writer, b"ab"), os.splice(reader, fd, 9, offset_dst=0), os.pread(fd, 4, 0)),
        )
        log.note("offset of a pipe", os.splice, fd, writer, 1, None, 3)
        log.note("no pipe", os.splice, fd, one.fileno(), 1)
        log.note("itself", os.splice, reader, writer, 1)
        log.note("nothing", os.splice, fd, writer, 0)
        log.note("empty", os.splice, reader, one.fileno(), 9, None, None, 2)
        log.note("waits", in_threads, lambda: os.splice(reader, one.fileno(), 9), lambda: os.write(writer, b"late"))
        second_reader, second_writer = os.pipe()
        os.write(writer, b"pipes")
        log.note("pipe to pipe", lambda: (os.splice(reader, second_writer, 9), os.read(second_reader, 9)))
        os.write(second_writer, bytes(65536))
        log.note("full", os.splice, fd, second_writer, 9, None, None, 2)
        os.close(second_reader)
        log.note("broken", os.splice, fd, second_writer, 9)
        os.close(writer)
        log.note("end", os.splice, reader, one.fileno(), 9)
        return log

    as_on_linux(body, str(tmp_path))


def test_limits_of_open_files() -> None:
    def body():
        import os
        import resource

        from tests.support.twins import Log

        log = Log()
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 2000))
        log.note("limits", resource.getrlimit, resource.RLIMIT_NOFILE)
        log.note("sysconf", os.sysconf, "SC_OPEN_MAX")
        opened = []
        try:
            while len(opened) < 2000:
                opened += os.pipe()
        except OSError as error:
            log.append((error.errno, 20 < len(opened) <= 40))
        try:
            while len(opened) < 2000:
                opened.append(os.dup(opened[0]))
        except OSError as error:
            log.append(error.errno)
        last = opened.pop()
        os.close(last)
        log.note("the one that is free", lambda: os.dup(opened[0]) == last)
        log.note("too many", os.eventfd, 0)
        log.note("wrong way round", resource.setrlimit, resource.RLIMIT_NOFILE, (200, 100))
        log.note("one", resource.setrlimit, resource.RLIMIT_NOFILE, (200,))
        log.note("more", resource.setrlimit, resource.RLIMIT_NOFILE, (200, 2000))
        log.note("prlimit", resource.prlimit, 0, resource.RLIMIT_NOFILE)
        return log

    as_on_linux(body)


def test_standard_streams_can_be_redirected(tmp_path: Path) -> None:
    def body(folder):
        import os

        streams = None
        if "core" in globals():  # in the simulator, a program has streams of its own
            from wavetank.world.output import Streams

            streams = Streams(globals()["core"].K.process.fds)
        saved = os.dup(1)
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.write(1, b"to the pipe")
        seen = [os.read(reader, 99)]
        path = os.path.join(folder, f"out {os.getpid()}")
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        os.dup2(fd, 1)
        os.write(1, b"to the file")
        os.close(fd)
        with open(path) as file:
            seen.append((file.read(), os.fstat(1).st_size, os.lseek(1, 0, os.SEEK_CUR)))
        os.close(1)
        try:
            os.write(1, b"x")
        except OSError as error:
            seen.append(error.errno)
        os.dup2(saved, 1)
        seen.append(os.get_inheritable(1))
        if streams is not None:
            os.write(1, b"to the world")
            assert streams.stdout.text() == "to the world"
        return seen

    as_on_linux(body, str(tmp_path))


def test_what_is_not_simulated_says_so() -> None:
    def body():
        import fcntl
        import os
        import socket

        refused = {}
        reader, writer = os.pipe()
        one, _ = socket.socketpair()
        for name, call in {
            "os.fchmod": lambda: os.fchmod(os.eventfd(0), 0o600),
            "os.fchown": lambda: os.fchown(reader, -1, -1),
            "os.utime": lambda: os.utime(reader),
            "os.lockf": lambda: os.lockf(writer, os.F_LOCK, 0),
            "fcntl.flock": lambda: fcntl.flock(writer, fcntl.LOCK_EX),
            "fcntl.lockf": lambda: fcntl.lockf(writer, fcntl.LOCK_EX),
            "fcntl.fcntl": lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, 1),
            "fcntl.ioctl": lambda: fcntl.ioctl(one, 0x8912, bytes(256)),
            "os.dup2": lambda: os.dup2(reader, 50),
            "os.fstatvfs": lambda: os.fstatvfs(reader),
            "os.listxattr": lambda: os.listxattr(reader),
        }.items():
            try:
                call()
            except OSError as error:
                refused[name] = str(error).partition("\n")[0]
        return refused

    refused = simulated(body, faces=FACES)
    assert len(refused) == 11
    assert {name: f"{name} is not simulated" for name in refused} == refused


def test_closing_a_range_spares_what_is_not_the_programs() -> None:
    def body():
        import os

        mine = os.open("/", os.O_RDONLY)
        reader, _ = os.pipe()
        before = len(os.listdir("/proc/self/fd"))
        os.closerange(3, 2_000_000)
        found = []
        for fd in (mine, reader):
            try:
                os.fstat(fd)
            except OSError as error:
                found.append(error.errno)
        return found, before - len(os.listdir("/proc/self/fd"))

    assert simulated(body, faces=FACES) == ([9, 9], 1)


def test_files_on_disk_are_untouched(tmp_path: Path) -> None:
    def body(folder):
        import os
        import shutil
        import tempfile

        place = tempfile.mkdtemp(dir=folder)
        path = os.path.join(place, "file")
        fd = os.open(path, os.O_CREAT | os.O_RDWR)
        found = [
            os.write(fd, b"hello world"),
            os.pread(fd, 5, 0),
            os.lseek(fd, 0, 0),
            os.read(fd, 5),
            os.fstat(fd).st_size,
        ]
        os.ftruncate(fd, 3)
        os.fsync(fd)
        found += [os.stat(fd).st_size, os.get_blocking(fd), os.get_inheritable(fd), os.isatty(fd)]
        found += [os.readv(os.dup2(fd, 40), [bytearray(3)]), os.stat in os.supports_fd, os.scandir in os.supports_fd]
        with os.scandir(place) as entries:
            found.append([entry.name for entry in entries])
        found += [os.listdir(path=place), shutil.rmtree.avoids_symlink_attacks]
        os.chdir(place)
        found += [os.listdir(), [entry.path for entry in os.scandir()], sorted(os.sysconf_names)[:3]]
        os.chdir("/")
        shutil.rmtree(place)
        return [*found, os.path.exists(place)]

    as_on_linux(body, str(tmp_path))
