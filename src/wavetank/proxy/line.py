"""The faults of one proxy: which are in force, when each begins and ends, and at what each aims.

Owns the list of forces, their times and targets, and the refusal of faults that a proxy cannot carry out. Must never
touch a socket: `shape` says what a direction becomes, and whoever carries bytes asks it.

The ends of a proxy are two hosts, "client" and "server" unless they are named otherwise; the client connects, the
server accepts. The server's port is the real one or the one that the proxy listens on. The nth connection, `#n`, is the
nth that the proxy accepted or, for datagrams, its nth client. Times count from the start of the proxy; a time that is
past means now, and then the duration counts from now, as `World.inject` has it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from wavetank import faults
from wavetank.errors import PlanError, UsageError
from wavetank.faults import ACCEPTING, CONNECTING, AnyFault, End, Fault, Party, Target
from wavetank.proxy.address import Address
from wavetank.proxy.events import DOWN, UP, EventLog
from wavetank.proxy.shape import CALM, Bucket, Shape, compile_shape
from wavetank.proxy.timers import Timer, Timers, now_ns

_STREAM: Final = "a stream"
_PACKETS: Final = "a socket that keeps borders"
_DATAGRAMS: Final = "datagrams"
#: What a proxy can do to each medium.
_ANY: Final = (
    faults.Latency, faults.Bandwidth, faults.Loss, faults.Stall, faults.Drop, faults.Partition, faults.Refuse,
)  # fmt: skip
_CAN: Final = {
    _STREAM: (*_ANY, faults.Segments, faults.SlowReader, faults.Reset, faults.Eof),
    _PACKETS: (*_ANY, faults.SlowReader, faults.Reset, faults.Eof),
    _DATAGRAMS: (*_ANY, faults.Duplicate, faults.Reorder, faults.Truncate),
}
#: What only the simulator can do, and what comes nearest to it on a real line.
_LIVE_EQUIVALENT: Final = {
    "scheduling": "latency with jitter",
    "buffers": "slow-reader, which fills the program's own buffers",
    "name-failure": "give the client a name that does not resolve, or refuse",
    "clock-skew": "run the program under faketime",
    "clock-jump": "run the program under faketime",
    "pause": "stall, or SIGSTOP to the server",
    "crash": "partition and then reset, or stop and start the server (wavetank.servers)",
    "descriptors": "refuse, or a limit for the server (ulimit -n)",
}
#: Why a fault makes no sense for a medium, and what comes nearest there.
_NOT_FOR: Final = {
    "segments": "datagrams keep their borders; truncate cuts them",
    "slow-reader": "a datagram that is not read is lost; use loss or bandwidth",
    "reset": "datagrams know no connection; use refuse",
    "eof": "datagrams know no end; use drop",
    "duplicate": "a stream delivers each byte once, so this is for udp: and unix-dgram: only; use latency with jitter",
    "reorder": "a stream keeps its order, so this is for udp: and unix-dgram: only; use latency with jitter",
    "truncate": "a stream has no datagrams to cut, so this is for udp: and unix-dgram: only; use eof or segments",
}
#: Begun by an event, these concern its connection alone (docs/words/faults.md).
_OF_ONE: Final = (faults.Reset, faults.Eof, faults.Stall, faults.Drop)


class Force:
    """One fault in force, or about to be. `number` names it; `aim` is its target with the names of this proxy.

    `seen` counts the connections that its event may mean; `only`: the one connection that it concerns, 0 for all.
    """

    __slots__ = ("_buckets", "aim", "begun", "end_timer", "fault", "for_next", "number", "only", "seen", "start_timer")

    def __init__(self, number: int, fault: AnyFault, aim: Target) -> None:
        self.number = number
        self.fault = fault
        self.aim = aim
        self.begun = False
        self.for_next = False
        self.seen = 0
        self.only = 0
        self.start_timer: Timer | None = None
        self.end_timer: Timer | None = None
        self._buckets: dict[int, Bucket] = {}

    def bucket(self, direction: int, bytes_per_s: int) -> Bucket:
        """The bucket that all connections of a direction share: the speed is that of the line."""
        return self._buckets.setdefault(direction, Bucket(bytes_per_s))

    @property
    def at_once(self) -> bool:
        """Whether it strikes whole connections when it begins, and has no shape."""
        return isinstance(self.fault, faults.Reset | faults.Eof) and not self.fault.after_bytes


class Ends:
    """The two ends of one connection, as targets see them. `number` counts from 1."""

    __slots__ = ("client", "number", "server")

    def __init__(self, number: int, client: Party, server: Party) -> None:
        self.number = number
        self.client = client
        self.server = server

    def way(self, direction: int) -> tuple[Party, Party]:
        """Sender and receiver of a direction."""
        return (self.client, self.server) if direction == UP else (self.server, self.client)


class Line:
    """The faults of one proxy. `changed` is called in the loop when shapes may be other ones, `strike` for each
    fault that strikes open connections: it returns whether it found one."""  # noqa: D205, D209

    def __init__(self, names: tuple[str, str], upstream: Address, listen: Address, *, seed: int, log: EventLog) -> None:
        self.names = names
        self.seed = seed
        self._log = log
        self._upstream = upstream
        self._listen_port = listen.port
        self._timers: Timers | None = None
        self._start_ns = 0
        self._count = 0
        self._forces: dict[int, Force] = {}
        self.changed: Callable[[], None] = lambda: None
        self.strike: Callable[[Force], bool] = lambda force: False
        kind = upstream.kind
        self._medium = _PACKETS if kind == "unix-seqpacket" else _STREAM if kind in ("tcp", "unix") else _DATAGRAMS

    def open(self, timers: Timers, listen_port: int) -> None:
        """Time begins."""
        self._timers = timers
        self._listen_port = listen_port
        self._start_ns = now_ns()

    def ends(self, number: int, client_port: int) -> Ends:
        """The ends of the connection `number`."""
        client = Party(self.names[0], client_port, CONNECTING)
        return Ends(number, client, Party(self.names[1], self._upstream.port, ACCEPTING))

    def rng(self, concern: str, number: int, direction: int) -> random.Random:
        """The generator of one concern of one direction: what is drawn there moves no other."""
        return random.Random(f"{self.seed} {concern} #{number} {direction}")

    # ---- faults come and go

    def check(self, fault: object) -> Target:
        """Raise `PlanError` or `UsageError`, one line, when the proxy cannot carry out `fault`; returns its target."""
        if not isinstance(fault, Fault):
            raise UsageError(f"{fault!r} is not a fault of wavetank.faults")
        word = fault.name
        if word in _LIVE_EQUIVALENT:
            raise PlanError(f"{word} is for the simulator only; on a real line: {_LIVE_EQUIVALENT[word]}")
        if not isinstance(fault, _CAN[self._medium]):
            raise PlanError(f"{word} does nothing to {self._medium} ({self._upstream}): {_NOT_FOR[word]}")
        if isinstance(fault, faults.Loss) and fault.of == ("segments" if self._medium == _DATAGRAMS else "datagrams"):
            raise PlanError(f"loss of {fault.of} does nothing to {self._medium} ({self._upstream}): use loss of all")
        event = fault.event
        if event is not None and event.kind not in ("connect", "accept"):
            why = "a proxy does not see the program's calls; on a real line: at_s, after_bytes or 'accept #n'"
            raise PlanError(f"{word}: the event {str(event)!r} is for the simulator only; {why}")
        return self._aim(fault)

    def _aim(self, fault: Fault) -> Target:
        if isinstance(fault, faults.Partition):
            for name in (fault.a, fault.b):
                self._end(End(name), fault)
            return Target()
        aim = fault.aim
        first = self._end(aim.first, fault)
        return aim._replace(first=first, second=None if aim.second is None else self._end(aim.second, fault))

    def _end(self, end: End, fault: Fault) -> End:
        """The end with the names of this proxy; the server's host and ports have several."""
        client, server = self.names
        name, upstream = end.name, self._upstream
        if name not in ("*", CONNECTING, ACCEPTING, client):
            if name not in (server, upstream.host, f"[{upstream.host}]"):
                known = f"the ends of this proxy are {client!r} and {server!r}; names=(...) or --names gives others"
                raise PlanError(f"{fault.name}: the target names {name!r}, and {known}")
            name = server
        if name in (server, ACCEPTING) and end.port:
            if end.port not in (upstream.port, self._listen_port):
                ports = f"{upstream.port} (upstream)" + (f" or {self._listen_port} (here)" if self._listen_port else "")
                raise PlanError(f"{fault.name}: the target names port {end.port}, and the server's is {ports}")
            return End(name, upstream.port)
        return End(name, end.port)

    def inject(self, fault: AnyFault) -> int:
        """Put `fault` in force at its time; returns its number. Raises as `check` does."""
        aim = self.check(fault)
        self._count += 1
        force = Force(self._count, fault, aim)
        self._forces[force.number] = force
        if fault.event is None:
            self._schedule(force, max(self._start_ns + fault.start_ns, now_ns()))
        return force.number

    def happened(self, ends: Ends) -> None:
        """A connection was opened: faults that wait for this event begin, at their time after it."""
        for force in [*self._forces.values()]:
            event = force.fault.event
            if event is None or force.seen >= event.ordinal or not self.aims_at(force, ends):
                continue
            force.seen += 1
            if force.seen == event.ordinal:
                force.only = ends.number if isinstance(force.fault, _OF_ONE) else 0
                self._schedule(force, now_ns() + force.fault.start_ns)

    def _schedule(self, force: Force, start_ns: int) -> None:
        assert self._timers is not None, "the line is not open"
        if force.fault.duration_s is not None:
            end_ns = start_ns + round(force.fault.duration_s * 1e9)
            force.end_timer = self._timers.at(end_ns, lambda: self.end(force))
        if start_ns <= now_ns():
            self._begin(force)
        else:
            force.start_timer = self._timers.at(start_ns, lambda: self._begin(force))

    def _begin(self, force: Force) -> None:
        force.begun = True
        self._log.add("fault", text=self._words(force))
        if force.at_once:
            found = self.strike(force)
            force.for_next = not found or force.end_timer is not None
            if not force.for_next:
                del self._forces[force.number]
            return
        self.changed()

    def end(self, force: Force) -> None:
        """Heal one."""
        if self._forget(force):
            self.changed()

    def clear(self, number: int | None = None) -> int:
        """Heal all, also those that have yet to begin, or one; returns how many there were."""
        healed = [self._forces[number]] if number in self._forces else []
        if number is None:
            healed = [*self._forces.values()]
        begun = [self._forget(force) for force in healed]
        if any(begun):
            self.changed()
        return len(healed)

    def _forget(self, force: Force) -> bool:
        """Take it off the list; returns whether it was in force."""
        if self._forces.pop(force.number, None) is None:
            return False
        for timer in (force.start_timer, force.end_timer):
            if timer is not None:
                timer.cancel()
        if force.begun:
            self._log.add("healed", text=self._words(force))
        return force.begun

    @staticmethod
    def _words(force: Force) -> str:
        return str(force.fault).partition(": ")[2]

    def close(self) -> None:
        """No fault begins or ends any more."""
        self._forces.clear()

    # ---- what is in force

    def listed(self) -> list[tuple[int, AnyFault, bool]]:
        """All faults with their numbers, and whether each has begun."""
        return [(force.number, force.fault, force.begun) for force in self._forces.values()]

    def _in_force(self) -> Iterator[Force]:
        return (force for force in self._forces.values() if force.begun)

    def shape(self, ends: Ends, direction: int) -> Shape:
        """What the faults in force make of one direction of one connection."""
        if not self._forces:
            return CALM
        found = [
            force
            for force in self._in_force()
            if not force.at_once and not isinstance(force.fault, faults.Refuse) and self._hits(force, ends, direction)
        ]
        return compile_shape(found, direction)

    def _hits(self, force: Force, ends: Ends, direction: int) -> bool:
        if force.only not in (0, ends.number):
            return False
        sender, receiver = ends.way(direction)
        fault, aim = force.fault, force.aim
        if isinstance(fault, faults.Partition):
            there = Target(End(self._canonical(fault.a)), End(self._canonical(fault.b)), not fault.one_way)
            return there.matches(sender, receiver)
        if isinstance(fault, faults.Stall | faults.SlowReader):
            return aim.matches_reader(receiver, sender, ends.number)
        return aim.matches(sender, receiver, ends.number)

    def _canonical(self, name: str) -> str:
        return name if name in ("*", self.names[0]) else self.names[1]

    def aims_at(self, force: Force, ends: Ends) -> bool:
        """Whether a fault that strikes whole connections means this one."""
        if force.only not in (0, ends.number):
            return False
        return any(force.aim.matches(*ends.way(direction), ends.number) for direction in (UP, DOWN))

    def strikes_for(self, ends: Ends) -> list[Force]:
        """The faults that strike a connection as soon as it is open. One that waited for the next one is used up."""
        found = [force for force in self._in_force() if force.for_next and self.aims_at(force, ends)]
        for force in found:
            if force.end_timer is None:
                del self._forces[force.number]
        return found

    def refuses_all(self) -> bool:
        """Whether every connection is refused: the target leaves none out."""
        return any(
            isinstance(force.fault, faults.Refuse) and not force.aim.ordinal and not self._client_port(force.aim)
            for force in self._in_force()
        )

    def _client_port(self, aim: Target) -> bool:
        ends = (aim.first, aim.second or End())
        return any(end.port and end.name not in (self.names[1], ACCEPTING) for end in ends)

    def refuses(self, ends: Ends) -> bool:
        """Whether this connection is refused."""
        return any(isinstance(force.fault, faults.Refuse) and self.aims_at(force, ends) for force in self._in_force())


def as_json(number: int, fault: AnyFault, begun: bool) -> dict[str, Any]:
    """One fault as the control API shows it."""
    return {"id": number, "in_force": begun, "text": str(fault), **msgspec.to_builtins(fault)}
