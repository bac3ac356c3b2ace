"""A simulated process: descriptors, identity, signals, and the module state that Linux would give it alone.

Owns the descriptor table and the life of one program on a host: start, end, kill. All simulated processes share one
interpreter, so what real processes have for themselves in modules (`sys.argv`, `threading`'s table of threads) is
exchanged when another process takes over; see `own_state`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from wavetank.kernel import core, delivery
from wavetank.kernel.core import Thread
from wavetank.kernel.file import File, error
from wavetank.trace.schema import Kind

if TYPE_CHECKING:
    from wavetank.kernel.stack import Stack

#: Simulated descriptors start here; the child's own limit of open files is kept below.
FIRST_FD: Final = 1_000_000
#: RLIMIT_NOFILE of a simulated process (soft limit that systemd and most shells give).
OPEN_FILES: Final = 1_024
#: Its hard limit (systemd, DefaultLimitNOFILE).
OPEN_FILES_MOST: Final = 524_288


#: Called with the process that takes over, for state that is not an attribute of a module.
takes_over: list[Callable[[Process], None]] = []


class Killed(BaseException):
    """Raised in no program: ends the greenlet of a thread that a signal or a crash has killed while it ran."""


class Process:
    """One program on one host."""

    def __init__(self, stack: Stack, name: str, pid: int) -> None:
        self.stack = stack
        self.name = name
        self.pid = pid
        self.host_name = stack.name
        self.fds: dict[int, File] = {}
        self.threads: list[Thread] = []
        self.main_thread: Thread | None = None
        self.open_files = OPEN_FILES
        self.open_files_most = OPEN_FILES_MOST
        self.inheritable: set[int] = set()  # descriptors without FD_CLOEXEC
        self.closed_streams: set[int] = set()  # of 0, 1, 2: what is closed must not be the interpreter's own again
        self.umask = 0o022
        self.nice = 0
        self.affinity: frozenset[int] | None = None  # the processors it asked for; None: all
        self.pending: list[int] = []  # handled signals whose handlers have not run yet
        self.handlers: dict[int, Any] = dict(delivery.at_start)
        self.signals = delivery.Signals()
        self.wakeup_fd = -1
        self.status: int | None = None
        self.exited: list[Callable[[Process], None]] = []
        self.held_threads: list[Thread] = []
        self.paused = False
        self.kill_signal = 0
        self.entropy: Any = None  # what it draws random bytes from: `kernel.entropy`
        #: What this process has for itself: module dictionaries by id, and the values there while another one runs.
        self.own_state: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.reserved: set[int] = set()  # numbers that are neither free nor open: of calls to accept that wait
        self._free: list[int] = []
        self._next = 0

    # ---- descriptors

    def need_room(self, count: int = 1) -> None:
        """EMFILE unless so many more descriptors can be given."""
        if len(self.fds) + count > min(self.open_files, self.stack.descriptor_limit):
            raise error(errno.EMFILE)

    def install(self, file: File, at_least: int = 0) -> int:
        """Give `file` the lowest free descriptor (not below FIRST_FD + at_least); EMFILE when there are too many."""
        fd = self.take_number(at_least)
        file.hold()
        self.fds[fd] = file
        return fd

    def take_number(self, at_least: int = 0) -> int:
        """The lowest free descriptor, which is no longer free and not yet open (`get_unused_fd_flags`)."""
        self.need_room()
        if at_least:
            offset = at_least
            while FIRST_FD + offset in self.fds or FIRST_FD + offset in self.reserved:
                offset += 1
            self._skip_to(offset)
        elif self._free:
            offset = heappop(self._free)
        else:
            offset = self._next
            self._next += 1
        fd = FIRST_FD + offset
        assert fd not in self.fds, f"descriptor {fd} of {self.name} handed out twice"
        return fd

    def return_number(self, fd: int) -> None:
        """A descriptor that was taken and did not come to be open (`put_unused_fd`)."""
        heappush(self._free, fd - FIRST_FD)

    def _skip_to(self, offset: int) -> None:
        while self._next <= offset:
            heappush(self._free, self._next)
            self._next += 1
        self._free.remove(offset)
        self._free.sort()

    def install_at(self, file: File, fd: int) -> None:
        """`dup2`: put `file` at this very descriptor, closing what was there; EBUSY when `accept` has reserved it."""
        old = self.fds.get(fd)
        if fd in self.reserved:
            raise error(errno.EBUSY)  # do_dup2
        file.hold()
        if old is not None:
            self.fds[fd] = file
            old.release()
            return
        if fd >= FIRST_FD:
            self._skip_to(fd - FIRST_FD)
        self.closed_streams.discard(fd)
        self.fds[fd] = file

    def close(self, fd: int) -> None:
        """`close(2)`; EBADF when it is not open."""
        file = self.fds.pop(fd, None)
        if file is None:
            raise error(errno.EBADF)
        self.inheritable.discard(fd)
        if fd >= FIRST_FD:
            heappush(self._free, fd - FIRST_FD)
        else:
            self.closed_streams.add(fd)
        file.release()
        if core.K.soft:
            core.K.run_soft()

    def close_lingering(self, fd: int) -> None:
        """`close(2)` as programs call it: with SO_LINGER it waits for what has been sent (`inet_release`)."""
        file = self.fds.get(fd)
        self.close(fd)
        if file is not None and file.closed:
            file.linger_on()

    # ---- running

    def leave(self) -> None:
        """Another process takes over: put away what is this one's own."""
        for namespace, values in self.own_state.values():
            for name in values:
                values[name] = namespace.get(name)

    def enter(self) -> None:
        """Put this process's own state in place: it takes over."""
        for namespace, values in self.own_state.values():
            namespace.update(values)
        for call in takes_over:
            call(self)

    def own(self, namespace: dict[str, Any], values: dict[str, Any]) -> None:
        """From now on `namespace` has these values whenever this process runs. `values` is kept."""
        kept = self.own_state.get(id(namespace))
        if kept is None:
            self.own_state[id(namespace)] = (namespace, values)
        else:
            kept[1].update(values)
        if core.K.process is self:
            namespace.update(values)

    def own_value(self, namespace: dict[str, Any], name: str) -> Any:
        """What it has for itself at `namespace[name]`, whether it runs or not; None when it is not its own."""
        if core.K.process is self:
            return namespace.get(name)
        kept = self.own_state.get(id(namespace))
        return None if kept is None else kept[1].get(name)

    def hold(self, thread: Thread) -> None:
        """A thread that must not run came to its turn: keep it until the host goes on, or for ever."""
        (core.K.frozen if self.status is not None else self.held_threads).append(thread)

    def pause(self) -> None:
        """SIGSTOP, or the host stands still: no thread runs until `resume`."""
        self.paused = True
        for thread in self.threads:
            thread.held = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self.paused = False
        for thread in self.threads:
            thread.held = False
        held, self.held_threads = self.held_threads, []
        for thread in held:
            core.K.make_ready(thread)

    def finish(self, status: int, *, power_lost: bool = False) -> None:
        """The process is gone: its threads never run again, its descriptors are closed (not when power is lost)."""
        if self.status is not None:
            return
        kernel = core.K
        self.status = status
        for thread in self.threads:
            thread.held = True
            thread.parked = False
            kernel.frozen.append(thread)
        kernel.recorder.event(kernel.now, Kind.PROCESS_EXIT, self.pid, status)
        if not power_lost:
            for fd in sorted(self.fds):
                self.close(fd)
            for thread in self.threads:
                for file in thread.holds:
                    file.release()
            if kernel.soft:
                kernel.run_soft()
        for call in self.exited:
            call(self)

    # ---- signals

    def send_signal(self, number: int) -> None:
        """A signal arrives. Default actions happen at once; handlers run in the main thread at its next step."""
        delivery.send(self, number)

    def deliver_signals(self, thread: Thread) -> None:
        """Run the handlers of pending signals, if `thread` is the one that does (CPython: the main thread)."""
        delivery.run_handlers(self, thread)

    def die(self, status: int) -> None:
        """End at once. Does not return when it is the running thread's own process."""
        kernel = core.K
        self.finish(status)
        if kernel.running.process is self:
            kernel.give_up()
