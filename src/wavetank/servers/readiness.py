"""Until a server is ready: its end, its listeners and its output watched at once, then the probes.

Owns the loop and the judgement whose a listener is. Must never accept a listener that our process tree does not hold.

Source: sock_diag(7) for the table, proc_pid_fd(5) for the holder of an inode; poll intervals by measurement (a dump of
the table takes 0.04 to 0.3 ms).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from wavetank.errors import PortTaken
from wavetank.servers import address, processes, wording
from wavetank.servers.output import LineWatch
from wavetank.servers.probes import Answer, Probe, try_once
from wavetank.servers.sockdiag import Listener, Table
from wavetank.servers.steps import Call, Script, Wait

if TYPE_CHECKING:
    from wavetank.servers.core import Core

T = TypeVar("T")

#: How often the table is read: each millisecond while a start is young, less often later.
_FIRST_S: Final = 0.001
_LATER_S: Final = 0.01
_YOUNG_S: Final = 3.0
#: A wrapper that has slept so long does not exit because it is done with forking; and the most that is waited for it.
_SETTLE_S: Final = 0.02
_SETTLE_LIMIT_S: Final = 1.0
#: Between two tries of a probe that got "not yet".
_RETRY_S: Final = 0.005


class Readiness:
    """One wait for one start."""

    def __init__(self, core: Core, table: Table, before: frozenset[int], begun: float, deadline: float) -> None:
        assert core.launched is not None
        assert core.log is not None
        self.core = core
        self.launched = core.launched
        self.table = table
        self.before = before
        self.begun = begun
        self.deadline = deadline
        self.lines = LineWatch(core.log, core.mark)
        self.open_conditions = list(core.spec.conditions)
        self.owned: dict[int, bool] = {}
        self.last_answer: Answer | None = None
        self.adopted = False

    def wait(self) -> Script[None]:
        """Return when it is ready. Raises the errors of the failure table."""
        while True:
            self.launched.listen()
            if self._has_ended():
                raise self.core.exited_before_ready(self.begun, wording.addresses(self._of_ours()))
            listener = self._listener()
            self._watch_lines()
            if listener is not None or not self._needs_listener():
                yield from self._probe(listener)
                if not self.open_conditions and (yield from self._is_settled(listener)):
                    self._adopt_address(listener)
                    return
            if time.monotonic() >= self.deadline:
                raise self.core.not_ready(*self._true_and_false(listener))
            yield self._pause(_RETRY_S if listener is not None else _FIRST_S)

    def _pause(self, least: float) -> Wait:
        now = time.monotonic()
        interval = least if now - self.begun < _YOUNG_S else max(least, _LATER_S)
        return Wait(readable=(self.launched.control.fileno(),), until=min(self.deadline, now + interval))

    def _has_ended(self) -> bool:
        """Whether the server has ended; a daemon that was announced is adopted instead."""
        if self.core.running:
            return False
        if self.core.spec.daemon and self.launched.status == 0 and not self.launched.ended:
            self._adopt_process()
            return self.adopted and not self.core.running
        return True

    def _adopt_process(self) -> None:
        """The process that listens, else the first that is left, is the server from now on."""
        left = self.core.members()
        if left:
            listening = [
                pid for pid in left if {each.inode for each in self._of_ours()} & processes.socket_inodes([pid])
            ]
            self.core.pid = (listening or left)[0]
            self.adopted = True

    def _is_settled(self, listener: Listener | None) -> Script[bool]:
        """Whether the process that was started stays, when it is not itself the one that listens.

        It may be a wrapper that waits for the server, or the first half of a daemon, about to exit: the wrapper sleeps,
        the other one runs until it is gone.
        """
        if listener is None or self.adopted or listener.inode in processes.socket_inodes([self.core.pid]):
            return True
        asleep_since = None
        limit = min(self.deadline, time.monotonic() + _SETTLE_LIMIT_S)
        while time.monotonic() < limit:
            self.launched.listen()
            state = processes.stat(self.core.pid)
            if not self.core.running or state is None or not state.runs:
                return False
            now = time.monotonic()
            asleep_since = (asleep_since or now) if state.state == "S" else None
            if asleep_since is not None and now - asleep_since >= _SETTLE_S:
                break
            yield self._pause(_FIRST_S)
        return True

    # Whose listener.

    def _needs_listener(self) -> bool:
        return self.core.address.known or any(isinstance(each, Probe) for each in self.core.spec.conditions)

    def _listener(self) -> Listener | None:
        """A listener of ours at the expected address. Raises `BindFailed` when somebody else has it."""
        wanted = self.core.address
        ours = []
        for each in wanted.among(self.table):
            if not wanted.known:
                if self._is_newly_ours(each):
                    ours.append(each)
            elif wanted.matches(each):
                if self._is_ours(each):
                    ours.append(each)
                elif self._is_foreign(each):
                    self._refuse_impostor(each)
        if not ours:
            return None
        if self.core.report.listening_s is None:
            self.core.report.listening_s = time.monotonic() - self.begun
        # Several, when the port is to be discovered: those at the wanted host first, each try the next one.
        ours.sort(key=lambda each: (not wanted.matches(each), each.port))
        return ours[self.core.report.probe_connections % len(ours)]

    def _is_ours(self, listener: Listener) -> bool:
        """Whether a process of our tree holds this socket. Kept once it is true."""
        if not self.owned.get(listener.inode):
            target = f"socket:[{listener.inode}]"
            self.owned[listener.inode] = any(
                target in processes.descriptors(pid).values()
                for pids in ((self.core.pid,), self.core.members())
                for pid in pids
            )
        return self.owned[listener.inode]

    def _is_newly_ours(self, listener: Listener) -> bool:
        """The same for a listener at any address. Kept when it is false, too: others start servers meanwhile."""
        if listener.inode in self.before:
            return False
        return self._is_ours(listener) if listener.inode not in self.owned else self.owned[listener.inode]

    def _is_foreign(self, listener: Listener) -> bool:
        """Whether somebody outside our tree holds it, for certain; a socket that is being closed has no holder."""
        handed = self.core.address.handed_over
        if handed is not None and os.fstat(handed.fileno()).st_ino == listener.inode:
            return False  # the one that we hand over: the server has only closed it, or not yet taken it
        holders = processes.holders(listener.inode)
        if holders:
            self.owned[listener.inode] = any(processes.descends(pid, self.launched.supervisor) for pid in holders)
            return not self.owned[listener.inode]
        hidden = [pid for pid in self.core.members() if not processes.descriptors(pid)]
        if hidden and listener.inode not in self.before:
            # Our own server does not let itself be looked into (a set-uid program): the best guess is that it is it.
            self.owned[listener.inode] = True
            self.core.report.notes.append(f"cannot verify who owns {listener}: {wording.listed(hidden)} is protected")
        return False

    def _refuse_impostor(self, listener: Listener) -> None:
        where = address.Address(self.core.address.host, listener.port, datagrams=True)
        taken = address.taken(where if listener.datagrams else self.core.address, listener)
        error = PortTaken(
            f"another process listens where {self.core.spec.name} should: {taken.what}",
            where=f"{taken.where}\n    {self.core.facts()}",
            why="it took the address after the start; to accept it would test the wrong server", next=taken.next,
        )  # fmt: skip
        raise address.BindFailed(error)

    def _of_ours(self) -> list[Listener]:
        """Everything that our processes listen on."""
        inodes = processes.socket_inodes(self.core.members())
        listening = [each for each in (*self.table.tcp(), *self.table.unix()) if each.inode in inodes]
        # A server for streams has UDP sockets for its own questions (names, time): said when there is nothing better.
        return listening or [each for each in self.table.udp() if each.inode in inodes]

    # Probes and other conditions.

    def _watch_lines(self) -> None:
        lines = self.lines.new_lines()
        for each in self.open_conditions[:]:
            if isinstance(each, re.Pattern) and any(each.search(line) for line in lines):
                self.open_conditions.remove(each)

    def _probe(self, listener: Listener | None) -> Script[None]:
        """Try what is still open, in order, until one is not yet good."""
        where = self._address_of(listener)
        for each in self.open_conditions[:]:
            if isinstance(each, re.Pattern):
                continue
            if isinstance(each, Probe):
                good = yield from self._probe_once(each, where)
            else:
                good = yield from self._call(each)
            if not good:
                return
            self.open_conditions.remove(each)

    def _address_of(self, listener: Listener | None) -> address.Address:
        wanted = self.core.address
        if wanted.known or listener is None:
            return wanted
        if not listener.port:
            return address.Address(path=listener.address)
        host = wanted.host if listener.serves(wanted.host, listener.port) else listener.address
        return address.Address(host, listener.port, datagrams=wanted.datagrams)

    def _probe_once(self, probe: Probe, where: address.Address) -> Script[bool]:
        if probe.datagrams:
            return self._hears_datagrams(where)
        if not probe.connects:
            return True
        self.core.report.probe_connections += 1
        answer = yield from _unless(try_once(probe, where, self.deadline), self.launched.control.fileno())
        if answer is not None and (self.last_answer is None or not answer.silent):
            self.last_answer = answer
        return answer is not None and answer.good

    def _hears_datagrams(self, where: address.Address) -> bool:
        """Whether a UDP socket of ours is bound where a datagram would arrive."""
        wanted = address.Address(where.host, where.port, datagrams=True)
        for each in self.table.udp():
            if wanted.matches(each):
                if self._is_ours(each):
                    return True
                if self._is_foreign(each):
                    self._refuse_impostor(each)
        self.last_answer = Answer(False, "no UDP socket of its own", str(wanted))
        return False

    def _call(self, function: Any) -> Script[bool]:
        """A callable of the user's gets the server; false or an error mean "not yet", except for errors in its code."""
        try:
            result = yield Call(lambda: function(self.core.face), max(0.001, self.deadline - time.monotonic()))
        except (NameError, TypeError, AttributeError, ImportError):
            raise
        except Exception as error:
            self.last_answer = Answer(False, f"{type(error).__name__}: {error}", f"{function!r} to return true")
            return False
        if not result:
            self.last_answer = Answer(False, repr(result), f"{function!r} to return true")
        return bool(result)

    def _adopt_address(self, listener: Listener | None) -> None:
        """A discovered address is the server's from now on."""
        if listener is not None and not self.core.address.known:
            self.core.address = self._address_of(listener)

    def _true_and_false(self, listener: Listener | None) -> tuple[list[str], list[str]]:
        """What held and what did not when the time was over."""
        core = self.core
        true = [f"pid {core.pid} is running"]
        false = []
        ours = self._of_ours()
        if listener is not None:
            true.append(f"listens on {listener}")
        elif ours:
            false.append(f"listens on {wording.addresses(ours)}, expected {core.address}")
        elif self._needs_listener():
            what = "has no UDP socket" if core.address.datagrams else "does not listen anywhere"
            false.append(f"{what}, expected {core.address}")
        for each in self.open_conditions:
            if isinstance(each, re.Pattern):
                false.append(f"no line of output matches {each.pattern!r}")
            elif self.last_answer is not None:
                name = f"the {each.name} probe" if isinstance(each, Probe) else "the probe"
                false.append(f"{name} got {self.last_answer.got}; expected {self.last_answer.expected}")
                break
        return true, false


def _unless(script: Generator[Wait | Call, Any, T], fd: int) -> Script[T | None]:
    """Carry on with `script`, but give it up (None) as soon as `fd` can be read: the server has ended meanwhile."""
    try:
        step = next(script)
        while True:
            if isinstance(step, Wait):
                ready = yield Wait(readable=(*step.readable, fd), writable=step.writable, until=step.until)
                if fd in ready:
                    return None
                step = script.send(ready)
            else:
                step = script.send((yield step))
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        script.close()
