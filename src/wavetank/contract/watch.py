"""One connection under watch: its history, the states of its machines, and what is done with a broken rule.

Owns the running of the tables. It must never call the protocol or change what passes between it and its transport: the
faces in `monitor` do the calling, and tell the watch before (`enter`) and after (`leave`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from wavetank.contract import values
from wavetank.contract.kinds import ASYNCIO, Kind
from wavetank.contract.lifecycle import Machine
from wavetank.contract.profiles import Profile
from wavetank.contract.rules import RULES, TRANSPORT
from wavetank.errors import ContractViolation

#: Called with each broken rule, whatever else becomes of it: the oracle `contract` of a simulated world listens here.
listeners: list[Callable[[ContractViolation], object]] = []
#: So many calls are kept for the history unless told otherwise: a page of a terminal or two.
DEFAULT_HISTORY: Final = 100
#: An argument is shown with so many characters.
_SHOWN: Final = 60


class Call(NamedTuple):
    """One call of the history.

    `time_s`: seconds since the watch began; `by`: who called, "transport" or "protocol"; `name`; `size`: bytes carried,
    None for a call that carries none; `detail`: other arguments, as text; `depth`: inside how many other calls.
    """

    time_s: float
    by: str
    name: str
    size: int | None = None
    detail: str = ""
    depth: int = 0

    def __str__(self) -> str:
        arrow = "transport -> " if self.by == TRANSPORT else "protocol  -> "
        size = "" if self.size is None else f"{self.size} byte{'s' if self.size != 1 else ''}"
        inside = ", ".join(part for part in (size, self.detail) if part)
        return f"{self.time_s:11.6f} s  {arrow}{'  ' * self.depth}{self.name}({inside})"


class Watch:
    """The watch over one connection.

    `violations` is every break so far, in order. What is done with one beyond that is `report`'s affair: it raises, or
    keeps, or prints. `transport` is the real transport, for its water marks and whether it is TLS.
    """

    def __init__(
        self,
        kind: Kind,
        profile: Profile,
        report: Callable[[ContractViolation], None],
        *,
        history: int = DEFAULT_HISTORY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.profile = profile
        self.report = report
        self.transport: Any = None
        self.violations: list[ContractViolation] = []
        self.calls: deque[Call] = deque(maxlen=history)
        self.count = 0
        self.made = False
        self.lost = False
        self._clock = clock
        self._began = clock()
        self._states = {machine.name: machine.start for machine in kind.machines if not machine.each}
        self._numbered: dict[tuple[str, int], str] = {}
        self._asked_inside: dict[str, str] = {}
        self._stack: list[tuple[str, str]] = []
        self._buffer_bytes = 0
        self._checks = values.AIO if kind.dialect == ASYNCIO else values.TX

    # --- what the faces tell ---------------------------------------------------------------------------------------

    def enter(self, by: str, name: str, args: tuple[Any, ...]) -> None:
        """`by` is about to make this call; whatever is raised here keeps it from being made."""
        depth = len(self._stack)
        now_s = self._clock() - self._began
        self.calls.append(Call(now_s, by, name, values.size_of(args), _detail(name, args), depth))
        self.count += 1
        if depth and by == TRANSPORT and name in self.kind.deferred and self._stack[-1][1] in self.kind.deferring:
            self._broken("not-inside-a-call", name)
        self._step(name, args)
        check = self._checks.get(name)
        if check is not None and (rule := check(self.transport, args)):
            self._broken(rule, name)
        if name == "buffer_updated" and not 1 <= args[0] <= self._buffer_bytes:
            self._broken("updated-within-buffer", name)
        if name == self.kind.made:
            self.made = True
        elif name == self.kind.lost:
            self.lost = True
        self._stack.append((by, name))

    def leave(self, name: str) -> None:
        """The call has returned or raised."""
        self._stack.pop()
        if (
            name in ("write", "writelines")
            and self._states.get("writing") == "flowing"
            and self.kind.dialect == ASYNCIO
        ):
            found = None if self.lost else values.marks(self.transport)
            if found is not None and found[0] > found[2]:
                self._broken("pause-at-once", name)

    def inside(self, by: str, name: str) -> bool:
        """Whether the call under way, the innermost one, is this one."""
        return self._stack[-1:] == [(by, name)]

    def answered(self, buffer: Any) -> None:
        """`get_buffer` has returned this."""
        try:
            self._buffer_bytes = memoryview(buffer).nbytes
        except TypeError:
            self._buffer_bytes = 0
        if not self._buffer_bytes:
            self._broken("get-buffer-is-a-buffer", "get_buffer")

    def ended(self) -> None:
        """Nothing more will happen: a connection that was made must have been lost."""
        if self.made and not self.lost:
            self._broken("lost-at-all", self.kind.lost)

    def join(self) -> None:
        """The connection is made already: each machine begins where a protocol does that joins in mid-stream."""
        self.made = True
        for machine in self.kind.machines:
            if machine.joined is not None:
                self._states[machine.name] = machine.joined

    def take_over(self, before: Watch) -> None:
        """Go on with the transport of another, whose protocol was replaced in mid-stream."""
        self.transport = before.transport
        self.join()
        for machine in self.kind.machines:
            if machine.joined is None and machine.name in before._states:
                self._states[machine.name] = before._states[machine.name]

    def state(self, machine: str) -> str:
        """The state of the machine of this name."""
        return self._states[machine]

    # --- the tables ------------------------------------------------------------------------------------------------

    def _step(self, name: str, args: tuple[Any, ...]) -> None:
        for machine in self.kind.machines:
            if machine.each:
                self._step_each(machine, name, args)
                continue
            state = self._states[machine.name]
            rule = machine.breaks.get(state, {}).get(name)
            if rule is not None:
                self._broken(rule, name, asked_inside=self._asked_inside.get(machine.name, ""))
                continue
            following = machine.steps.get(state, {}).get(name, state)
            if following != state:
                self._states[machine.name] = following
                self._asked_inside[machine.name] = self._stack[-1][1] if self._stack else ""

    def _step_each(self, machine: Machine, name: str, args: tuple[Any, ...]) -> None:
        if name in machine.each.split():
            numbers = [int(args[0])]
        elif name in machine.calls:
            numbers = [number for each, number in self._numbered if each == machine.name]
        else:
            return
        for number in numbers:
            state = self._numbered.setdefault((machine.name, number), machine.start)
            rule = machine.breaks.get(state, {}).get(name)
            if rule is not None:
                self._broken(rule, name)
            else:
                self._numbered[machine.name, number] = machine.steps.get(state, {}).get(name, state)

    def _broken(self, rule: str, call: str, *, asked_inside: str = "") -> None:
        if self.profile.allowance(rule, call, tls=self._over_tls(), inside=asked_inside) is not None:
            return
        told = RULES[rule]
        violation = ContractViolation(
            rule,
            told.source,
            tuple(self.calls),
            what=f"the {told.breaker} broke a rule of the contract with {call or 'its end'}: {told.says} ({rule})",
            where=f"{self.kind.name}, after {self.count} call{'s' if self.count != 1 else ''}",
        )
        self.violations.append(violation)
        for listener in tuple(listeners):
            listener(violation)
        self.report(violation)

    def _over_tls(self) -> bool:
        if self.transport is None:
            return False
        if self.kind.dialect != ASYNCIO:
            return bool(getattr(self.transport, "TLS", False)) or hasattr(self.transport, "getPeerCertificate")
        try:
            return self.transport.get_extra_info("sslcontext") is not None
        except Exception:  # a transport that has given up its connection raises AttributeError here
            return True


def _detail(name: str, args: tuple[Any, ...]) -> str:
    """The arguments that are no payload, as text."""
    shown = []
    for value in args:
        if isinstance(value, (bytes, bytearray, memoryview, list)):
            continue
        text = type(value).__name__ if name in ("connection_made", "makeConnection") else _text(value)
        shown.append(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")
    return ", ".join(shown)


def _text(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # what is watched must not fail because it cannot be shown
        return type(value).__name__
