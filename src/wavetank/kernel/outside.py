"""A real process beside the simulated ones, for a program that is allowed to start one (`--allow subprocess.Popen`).

Owns the bridge: the program has simulated pipes, the real process gets real ones, and a simulated thread carries bytes
between them. While it waits for the real process, real time passes with virtual time, a millisecond for each; so such
a run is not the same twice.

Sources: CPython Modules/_posixsubprocess.c (3.11 to 3.13) for the arguments of `fork_exec`, pipe(7).
"""

from __future__ import annotations

import os
import posix
import time
from collections.abc import Callable
from typing import Any, Final

from wavetank.kernel import core
from wavetank.kernel.core import FAR
from wavetank.kernel.file import WRITABLE, File

# The real calls; this module is imported before anything is replaced.
_pipe2 = os.pipe2
_read = os.read
_write = os.write
_close = os.close
_waitpid = os.waitpid
_kill = os.kill
_set_blocking = os.set_blocking
_sleep = time.sleep

#: Positions of the arguments of `_posixsubprocess.fork_exec`.
_KEEP: Final = 3
_STDIN, _STDIN_OURS, _STDOUT_OURS, _STDOUT, _STDERR_OURS, _STDERR, _ERROR_OURS, _ERROR = 6, 7, 8, 9, 10, 11, 12, 13
_STEP_S: Final = 0.001
_STEP_NS: Final = 1_000_000
_CHUNK: Final = 1 << 16

_children: set[int] = set()


class _Bridge:
    """The pipes between one real process and the program that started it."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = list(arguments)
        self.theirs: list[int] = []
        self.outputs: list[tuple[int, File]] = []
        self.inputs: list[tuple[int, File]] = []
        fds = core.K.fds
        self.error_file: File = fds[arguments[_ERROR]]
        self.error_reader, writer = _pipe2(os.O_CLOEXEC)
        self.theirs.append(writer)
        self.arguments[_ERROR_OURS], self.arguments[_ERROR] = self.error_reader, writer
        self.arguments[_KEEP] = tuple(sorted({fd for fd in arguments[_KEEP] if fd not in fds} | {writer}))
        self._connect(fds)

    def _connect(self, fds: dict[int, File]) -> None:
        arguments = self.arguments
        same = arguments[_STDERR] == arguments[_STDOUT]
        if arguments[_STDIN] in fds:
            reader, writer = _pipe2(os.O_CLOEXEC)
            self.inputs.append((self._ours(writer), self._held(fds[arguments[_STDIN]])))
            arguments[_STDIN] = reader
            self.theirs.append(reader)
        for place in (_STDOUT, _STDERR):
            if place == _STDERR and same:
                arguments[_STDERR] = arguments[_STDOUT]
            elif arguments[place] in fds:
                reader, writer = _pipe2(os.O_CLOEXEC)
                self.outputs.append((self._ours(reader), self._held(fds[arguments[place]])))
                arguments[place] = writer
                self.theirs.append(writer)
        for place in (_STDIN_OURS, _STDOUT_OURS, _STDERR_OURS):
            arguments[place] = -1

    @staticmethod
    def _ours(fd: int) -> int:
        _set_blocking(fd, False)
        return fd

    @staticmethod
    def _held(file: File) -> File:
        file.hold()
        return file

    def start(self, fork_exec: Callable[..., int]) -> int:
        """Start the real process; its id. What went wrong in it goes to the program, as `subprocess` expects."""
        try:
            pid = fork_exec(*self.arguments)
        finally:
            for fd in self.theirs:
                _close(fd)
        while problem := _read(self.error_reader, _CHUNK):  # ends when the program is executed
            self.error_file.write(problem)
        _close(self.error_reader)
        if self.inputs or self.outputs:
            kernel = core.K
            thread = kernel.new_thread(kernel.process, f"bridge to process {pid}")
            thread.daemon = True
            kernel.start(thread, self._carry)
        return pid

    def _carry(self) -> None:
        while self.outputs or self.inputs:
            moved = [self._bring(*each) for each in tuple(self.outputs)]
            moved += [self._take(*each) for each in tuple(self.inputs)]
            if not any(moved):
                _wait()

    def _bring(self, reader: int, file: File) -> bool:
        """Carry what the real process has written; False when that is nothing."""
        try:
            data = _read(reader, _CHUNK)
        except BlockingIOError:
            return False
        if not data or not _deliver(file, data):
            self.outputs.remove((reader, file))
            _close(reader)
            file.release()
        return True

    def _take(self, writer: int, file: File) -> bool:
        """Carry what the program has written; False when that is nothing."""
        try:
            data = file.read(_CHUNK)
        except BlockingIOError:
            return False
        if not data or not _send(writer, data):
            self.inputs.remove((writer, file))
            _close(writer)
            file.release()
        return True


def _deliver(file: File, data: bytes) -> bool:
    """Write all of `data` to a simulated pipe; False when nobody reads any more."""
    while data:
        try:
            data = data[file.write(data) :]
        except BlockingIOError:
            file.wait(WRITABLE, FAR, "what a real process writes is not read")
        except OSError:
            return False
    return True


def _send(writer: int, data: bytes) -> bool:
    """Write all of `data` to a real pipe; False when nobody reads any more."""
    while data:
        try:
            data = data[_write(writer, data) :]
        except BlockingIOError:
            _wait()
        except OSError:
            return False
    return True


def _wait() -> None:
    _sleep(_STEP_S)
    core.K.park("a real process outside the world", core.K.now + _STEP_NS)


def fork_exec(real: Callable[..., int], *arguments: Any) -> int:
    """`_posixsubprocess.fork_exec`, with `real`, for a program with simulated descriptors."""
    pid = _Bridge(arguments).start(real)
    _children.add(pid)
    return pid


class _Calls:
    """The calls of `os` about real child processes; about others, what was there before."""

    def __init__(self) -> None:
        self.own_kill = os.kill
        self.own_waitpid = os.waitpid

    def waitpid(self, pid: int, options: int, /) -> tuple[int, int]:
        """`waitpid(2)`: virtual time goes on while a real process does."""
        if pid not in _children:
            return self.own_waitpid(pid, options)
        while True:
            found = _waitpid(pid, options | os.WNOHANG)
            if found[0]:
                _children.discard(pid)
            if found[0] or options & os.WNOHANG:
                return found
            _wait()

    def kill(self, pid: int, signal: int, /) -> None:
        """`kill(2)`."""
        return _kill(pid, signal) if pid in _children else self.own_kill(pid, signal)


def install() -> None:
    """Let `os.waitpid` and `os.kill` know real children. After the simulated signals are in place."""
    calls = _Calls()
    for name in ("waitpid", "kill"):
        for module in (os, posix):
            setattr(module, name, getattr(calls, name))
