"""Runs a program of the language and records what it saw, whichever kernel is beneath.

Owns the meaning of calls, and the form of what is recorded: return value, errno, data, order, and after each step the
readiness of every descriptor that changed. What differs by nature is written by name: ports in the order in which they
appear, descriptors counted from the first one, addresses of sockets, process and user numbers.

It never sleeps to let something happen. `settle` is given by the side: on real Linux it is a barrier through the
loopback's own queue (see `sides`), in the simulator nothing.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import itertools
import os
import re
import select
import socket
import struct
import termios
import threading
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from tests.parity.language import calls
from tests.parity.language.program import Program, Step

EVERY = 0x1 | 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000
#: Data longer than this is recorded as length and checksum.
SHOWN = 40
#: So many descriptors a program has at most.
MOST_DESCRIPTORS = 100
#: Real seconds that a call which waits may take.
PATIENCE_S = 20.0


#: Autobind: five hexadecimal digits (unix_autobind).
_NAMED = re.compile(rb"^\0([0-9a-f]{5})$")


#: Names of UNIX sockets are of one run: what an earlier one has left may still be in use.
_MACHINES = itertools.count()
#: Calls with an address. A stale descriptor may belong to a socket of another family by now.
_ADDRESSED = ("bind", "connect", "connect_ex", "sendto", "getsockname", "getpeername", "recvfrom", "recvmsg", "accept")


class Stop(Exception):
    """The program cannot go on: a name has no value, because an earlier step failed."""


@lru_cache(4096)  # the same calls come up in program after program
def _tree(call: str) -> ast.expr:
    return ast.parse(call, mode="eval").body


def _lengths(value: Any, most: int) -> Any:
    if isinstance(value, bytes):
        return min(len(value), most)
    return tuple(_lengths(each, most) for each in value) if isinstance(value, tuple) else value


def is_of_another_family(sock: Any) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) != sock.family)
    except OSError:
        return False


class Descriptor(int):
    """A descriptor that is no socket object: the end of a pipe, a duplicate, one that was passed."""


class Later:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.outcome: Any = None
        self.tid = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        self.tid = threading.get_native_id()
        self.outcome = call()
        self.over.set()


class Machine:
    """One run of one program."""

    def __init__(self, settle: Callable[[], None], asleep: Callable[[Later], None]) -> None:
        self.settle = settle
        self.asleep = asleep
        self.values: dict[str, Any] = {}
        self.named: dict[int, str] = {}
        self.ports: dict[int | bytes, str] = {}
        self.later: dict[str, Later] = {}
        self.flags: dict[str, int] = {}
        self.extra: list[Any] = []
        self.produced = self.passed = 0
        self.filled: set[int] = set()
        self.watched: dict[int, set[int]] = {}
        self.aborts = False  # whether a socket has a negative TCP_LINGER2
        self.paused_s = 0.0  # real seconds of waiting that the program asked for
        self.folder = ""
        self.token = b"%07d.%07d." % (os.getpid(), next(_MACHINES))
        self.visited: set[str] = set()
        with socket.socket() as probe:
            self.base = probe.fileno()

    # ---- running

    def run(self, program: Program) -> list[Any]:
        """What the program saw: one item a step."""
        record = []
        try:
            for step in program.steps:
                record.append(self._step(step))
        finally:
            self.close()
        return record

    def _step(self, step: Step) -> Any:
        tree = _tree(step.call)
        try:
            if step.call == "done()":
                outcome = self._done(step)
            elif step.call.startswith("release("):
                outcome = self._release(step, tree)
            elif step.later:
                outcome = self._begin(step, tree)
            else:
                outcome = self._outcome(step, lambda: self._value(tree))
        except Stop as missing:
            return "stop", str(missing)
        self.calm()
        if "TCP_LINGER2, -1" in step.call:
            self.aborts = True
        if self.aborts and "close" in step.call:
            # Then RST is sent as soon as the FIN is acknowledged, within the time of a delayed acknowledgement.
            calls.pause(self, 0.06)
            self.calm()
        return outcome, self._readiness()

    def calm(self) -> None:
        """Wait until nothing more happens by itself."""
        self.settle()
        for later in self.later.values():
            self.asleep(later)

    def _outcome(self, step: Step, call: Callable[[], Any]) -> Any:
        try:
            result = call()
        except Stop:
            raise
        except OSError as problem:
            number = problem.errno
            return type(problem).__name__, errno.errorcode.get(number, number) if number else str(problem)
        except (ValueError, TypeError, OverflowError, KeyError, struct.error, RuntimeError, AttributeError) as problem:
            return type(problem).__name__, str(problem)
        self._keep(step.names, result)
        if "MSG_TRUNC" in step.call:  # with it, the memory behind the data is whatever it was
            return self.show(_lengths(result, 10_000 if self.filled else 1 << 62))
        return self.show(result)

    def _keep(self, names: tuple[str, ...], result: Any) -> None:
        if not names:
            if isinstance(result, socket.socket):
                self.extra.append(result)
            return
        for name, value in zip(names, result if len(names) > 1 else (result,), strict=True):
            self.values[name] = value

    def _begin(self, step: Step, tree: ast.expr) -> Any:
        if step.party in self.later:
            raise Stop(f"{step.party} waits already")
        call = self._prepared(tree)
        self.later[step.party] = later = Later(lambda: self._outcome(step, call))
        self.asleep(later)
        return "waits" if not later.over.is_set() else "over"

    def _done(self, step: Step) -> Any:
        later = self.later.pop(step.party, None)
        if later is None:
            raise Stop(f"{step.party} does not wait")
        self.asleep(later)
        if not later.over.is_set():
            self.later[step.party] = later
            return "still waits"
        later.thread.join()
        return later.outcome

    def _release(self, step: Step, tree: ast.expr) -> Any:
        """End a call that still waits by shutting its socket down: how it ended."""
        assert isinstance(tree, ast.Call)
        outcome = self._done(step)
        if outcome != "still waits":
            return outcome
        with contextlib.suppress(OSError):
            self._value(tree.args[0]).shutdown(socket.SHUT_RDWR)
        later = self.later.pop(step.party)
        later.over.wait(PATIENCE_S)
        return "released", later.outcome

    # ---- expressions

    def _prepared(self, node: ast.expr) -> Callable[[], Any]:
        """The outermost call with its arguments worked out already."""
        assert isinstance(node, ast.Call)
        function = self._function(node.func)
        arguments = [self._value(each) for each in node.args]
        keywords = {each.arg or "": self._value(each.value) for each in node.keywords}
        return lambda: function(*arguments, **keywords)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Call():
                return self._prepared(node)()
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._named(name)
            case ast.Tuple(elts=items):
                return tuple(map(self._value, items))
            case ast.List(elts=items):
                return list(map(self._value, items))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._value(left) | self._value(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self._value(left) * self._value(right)
            case ast.Attribute():
                return self._function(node)
            case _:
                raise AssertionError(ast.dump(node))

    def _named(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        if name in calls.FUNCTIONS:
            return partial(calls.FUNCTIONS[name], self)
        if name.isupper() or name[0].isupper():
            for module in (socket, select, os, termios, fcntl):
                if hasattr(module, name):
                    return getattr(module, name)
        raise Stop(name)

    def _function(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            if not hasattr(owner, node.attr):
                raise Stop(f"{node.attr} of a {type(owner).__name__}")
            if node.attr in _ADDRESSED and is_of_another_family(owner):
                raise Stop("a stale descriptor of another family")
            return getattr(owner, node.attr)
        assert isinstance(node, ast.Name)
        function = calls.FUNCTIONS.get(node.id)
        return self._named(node.id) if function is None else partial(function, self)

    # ---- what is recorded

    def _open(self) -> dict[str, int]:
        found = {}
        for name, value in self.values.items():
            number = self.number(value)
            if number >= self.base:
                found[name] = number
        return found

    @staticmethod
    def number(value: Any) -> int:
        if isinstance(value, Descriptor):
            return int(value)
        if isinstance(value, socket.socket):
            return value.fileno()
        if isinstance(value, select.epoll):
            return -1 if value.closed else value.fileno()
        return -1

    def _readiness(self) -> dict[str, int]:
        """The flags of every open descriptor whose flags have changed."""
        numbers = self._open()
        poll = select.poll()
        for number in numbers.values():
            poll.register(number, EVERY)
        ready = dict(poll.poll(0)) if numbers else {}
        flags = {name: self.known(number, ready.get(number, 0)) for name, number in numbers.items()}
        changed = {name: mask for name, mask in flags.items() if self.flags.get(name) != mask}
        for name, value in self.flags.items():
            if name not in flags and value != -1:
                changed[name] = -1
        self.flags = dict.fromkeys(self.flags, -1) | flags
        return changed

    def watch(self, poller: int, number: int, mask: int) -> None:
        """An epoll object learns when a descriptor becomes writable."""
        if mask & select.EPOLLOUT:
            self.watched.setdefault(poller, set()).add(number)

    def known(self, number: int, mask: int) -> int:
        """Between full and empty, when a TCP socket becomes writable follows from how Linux counts memory."""
        if not self.filled.isdisjoint(self.watched.get(number, ())):
            mask &= ~(select.POLLIN | select.POLLRDNORM)
        return mask & ~(select.POLLOUT | select.POLLWRNORM) if number in self.filled else mask

    def show(self, value: Any) -> Any:
        """A result in the form that is compared."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = _NAMED.sub(
                lambda found: b"\0" + self.port(found[1]).encode(), bytes(value).replace(self.token, b"PID")
            )
            if data.count(b"f") > len(data) // 2 > SHOWN and self.filled:
                return "of flood", data.replace(b"f", b"")
            return data if len(data) <= SHOWN else ("data", len(data), zlib.crc32(data))
        if isinstance(value, socket.socket):
            return "socket", int(value.family), int(value.type), value.proto, self.show_descriptor(value.fileno())
        if isinstance(value, select.epoll):
            return "epoll", self.show_descriptor(value.fileno())
        if isinstance(value, tuple):
            if len(value) in (2, 4) and isinstance(value[0], str) and isinstance(value[1], int) and value[1]:
                return (value[0], self.port(value[1]), *value[2:])
            if len(value) == 3 and value[:2] == (socket.SOL_SOCKET, 2):
                return "credentials", len(value[2]), calls.whose(value[2])
            if len(value) == 3 and value[:2] == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = struct.unpack(f"{len(value[2]) // 4}i", value[2][: len(value[2]) // 4 * 4])
                return "rights", len(value[2]), [self.show_descriptor(number) for number in numbers]
            return tuple(map(self.show, value))
        if isinstance(value, list):
            return [self.show(each) for each in value]
        if isinstance(value, bool) or value is None or isinstance(value, (float, str)):
            return self._path(value) if isinstance(value, str) else value
        if isinstance(value, Descriptor):
            return self.show_descriptor(value)
        if isinstance(value, int):
            return int(value)
        return f"<{type(value).__name__}>"

    def show_descriptor(self, number: int) -> Any:
        """Descriptors count from the first one that the program could have."""
        return f"fd{number - self.base}" if number >= 0 else number

    def name_of(self, number: int) -> str:
        """The name of the first value that has this descriptor."""
        return next((name for name, found in self._open().items() if found == number), "gone")

    def _path(self, text: str) -> str:
        return text.replace(self.folder, "FOLDER") if self.folder else text

    def port(self, number: int | bytes) -> str:
        """A port, or a UNIX name that the kernel has made up, by the order in which they came up."""
        return self.ports.setdefault(number, f"port{len(self.ports)}")

    # ---- the end

    def close(self) -> None:
        """Close whatever is open; calls that wait end thereby or are waited for."""
        for value in [*self.values.values(), *self.extra]:
            try:
                if self.later and isinstance(value, socket.socket) and value.fileno() >= 0:
                    value.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for value in reversed([*self.values.values(), *self.extra]):
            try:
                if isinstance(value, Descriptor):
                    os.close(value)
                elif hasattr(value, "close"):
                    value.close()
            except (OSError, ValueError):
                pass
        for later in self.later.values():
            later.thread.join(PATIENCE_S)
        os.closerange(self.base, self.base + MOST_DESCRIPTORS)
        self._clean()

    def _clean(self) -> None:
        if self.folder:
            for name in os.listdir(self.folder):
                os.unlink(f"{self.folder}/{name}")
            os.rmdir(self.folder)
