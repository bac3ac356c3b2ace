"""The suite catches what it claims: a transport with one rule broken each, and the case that must notice.

The transport is asyncio's own, with one method wrong, or with something between it and its protocol that tells it
wrong.
"""

import asyncio
from asyncio import selector_events
from collections.abc import Callable
from typing import Any

import pytest

from wavetank.conformance import runner, targets

Real = selector_events._SelectorSocketTransport
CALLBACKS = (
    "connection_made", "data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost",
)  # fmt: skip


def nothing(self: Any, *args: Any, **keywords: Any) -> None:
    """A method that does nothing."""


def lost_at_once(self: Any) -> None:
    if not self._conn_lost:
        self._closing, self._conn_lost = True, 1
        self._loop._remove_reader(self._sock_fd)
        self._loop._remove_writer(self._sock_fd)
        self._call_connection_lost(None)


def close_by_aborting(self: Any) -> None:
    Real.abort(self)


def abort_by_closing(self: Any) -> None:
    Real.close(self)


def write_any(self: Any, data: Any) -> None:
    if isinstance(data, (bytes, bytearray, memoryview)):
        Real.write(self, data)


def write_after_eof(self: Any, data: Any) -> None:
    self._eof, eof = False, self._eof
    if not eof:
        Real.write(self, data)
    self._eof = eof


def write_half_of_views(self: Any, data: Any) -> None:
    Real.write(self, data[: len(data) // 2] if isinstance(data, memoryview) else data)


def eof_without_the_rest(self: Any) -> None:
    self._buffer.clear()
    Real.write_eof(self)


def pause_only_once_reading(self: Any) -> None:
    if self._sock_fd in self._loop._selector.get_map():
        Real.pause_reading(self)


def limits_unchecked(self: Any, high: int | None = None, low: int | None = None) -> None:
    self._high_water, self._low_water = high or 0, low or 0


def low_forgotten(self: Any, high: int | None = None, low: int | None = None) -> None:
    Real.set_write_buffer_limits(self, high=high, low=high)
    self._low_water = 10**9


def pause_at_high(self: Any) -> None:
    if self.get_write_buffer_size() >= self._high_water and not self._protocol_paused:
        self._protocol_paused = True
        self._protocol.pause_writing()


#: What a transport does wrong: the case that notices, and the method that replaces its own.
OF_TRANSPORT: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "pause_reading does nothing": ("pause-holds-data", {"pause_reading": nothing}),
    "resume_reading does nothing": ("pause-holds-data", {"resume_reading": nothing}),
    "a pause in connection_made is forgotten": ("pause-in-made", {"pause_reading": pause_only_once_reading}),
    "close does nothing": ("close-ends-both", {"close": nothing}),
    "close drops what is queued": ("write-then-close-flushes-to-slow-reader", {"close": close_by_aborting}),
    "abort does nothing": ("abort-ends-both", {"abort": nothing}),
    "abort sends what is queued": ("abort-with-full-buffer", {"abort": abort_by_closing}),
    "connection_lost comes inside close": ("lost-not-inside-close", {"close": lost_at_once}),
    "connection_lost comes inside abort": ("lost-not-inside-abort", {"abort": lost_at_once}),
    "write does nothing": ("write-one-byte", {"write": nothing}),
    "write takes text": ("write-text", {"write": write_any}),
    "write loses the first byte": ("write-in-data", {"write": lambda self, data: Real.write(self, data[1:])}),
    "write turns bytes round": ("write-big", {"write": lambda self, data: Real.write(self, data[::-1])}),
    "write sends twice": ("write-one-byte", {"write": lambda self, data: Real.write(self, bytes(data) * 2)}),
    "write after write_eof is silent": ("write-after-write-eof", {"write": write_after_eof}),
    "write sends half of a memoryview": ("write-memoryview", {"write": write_half_of_views}),
    "writelines sends the first only": ("writelines", {"writelines": lambda self, data: Real.write(self, data[0])}),
    "writelines goes backwards": (
        "writelines-big", {"writelines": lambda self, data: Real.write(self, b"".join([*data][::-1]))},
    ),
    "writelines counts a generator first": (
        "writelines-of-a-generator", {"writelines": lambda self, data: (list(data), Real.write(self, b"".join(data)))},
    ),
    "write_eof does nothing": ("write-eof", {"write_eof": nothing}),
    "write_eof drops what is queued": ("write-eof-flushes", {"write_eof": eof_without_the_rest}),
    "write_eof closes": ("write-eof", {"write_eof": lambda self: Real.close(self)}),
    "can_write_eof is wrong": ("can-write-eof", {"can_write_eof": lambda self: False}),
    "limits are ignored": ("limits-both", {"set_write_buffer_limits": nothing}),
    "limits are not checked": ("limits-wrong-way-round", {"set_write_buffer_limits": limits_unchecked}),
    "the low mark is ignored": ("pause-for-any-byte-at-zero", {"set_write_buffer_limits": low_forgotten}),
    "writing is never paused": ("pause-and-resume-writing", {"_maybe_pause_protocol": nothing}),
    "writing is never resumed": ("pause-and-resume-writing", {"_maybe_resume_protocol": nothing}),
    "writing is paused at the high mark": ("no-pause-at-the-mark", {"_maybe_pause_protocol": pause_at_high}),
    "is_closing is always false": ("is-closing", {"is_closing": lambda self: False}),
    "is_reading is always true": ("is-reading", {"is_reading": lambda self: True}),
    "the buffer always looks empty": ("limits-lowered-while-full", {"get_write_buffer_size": lambda self: 0}),
    "extra information is missing": ("extra-info", {"get_extra_info": nothing}),
    "the default of extra information is ignored": (
        "extra-info-unknown", {"get_extra_info": lambda self, name, default=None: self._extra.get(name)},
    ),
    "set_protocol does nothing": ("set-protocol", {"set_protocol": nothing}),
    "get_protocol gives nothing": ("get-protocol", {"get_protocol": nothing}),
}  # fmt: skip


def twice(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any) -> Any:
        getattr(self.inner, name)(*args)
        return getattr(self.inner, name)(*args)

    return call


def kept(self: Any) -> bool:
    self.inner.eof_received()
    return True


def closed(self: Any) -> bool:
    self.inner.eof_received()
    return False


def quietly(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any) -> Any:
        try:
            return getattr(self.inner, name)(*args)
        except ZeroDivisionError:
            return None

    return call


#: What a protocol is told wrong: the case that notices, and the callback that is told so.
OF_PROTOCOL: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "connection_made comes twice": ("data-eof-lost", {"connection_made": twice("connection_made")}),
    "connection_lost comes twice": ("close-ends-both", {"connection_lost": twice("connection_lost")}),
    "connection_lost never comes": ("close-ends-both", {"connection_lost": nothing}),
    "connection_lost has an error at a clean end": (
        "close-ends-both", {"connection_lost": lambda self, exc: self.inner.connection_lost(KeyError())},
    ),
    "a reset is told as a clean end": (
        "reset", {"connection_lost": lambda self, exc: self.inner.connection_lost(None)},
    ),
    "eof_received comes twice": ("eof-closes", {"eof_received": twice("eof_received")}),
    "eof_received never comes": ("data-eof-lost", {"eof_received": nothing}),
    "the answer of eof_received is ignored": ("eof-kept-open", {"eof_received": closed}),
    "eof_received never closes": ("eof-closes", {"eof_received": kept}),
    "data comes twice": ("data-eof-lost", {"data_received": twice("data_received")}),
    "empty data comes": ("data-eof-lost", {"data_received": lambda self, data: (
        self.inner.data_received(data), self.inner.data_received(b""))}),
    "data comes without its end": (
        "data-before-eof", {"data_received": lambda self, data: self.inner.data_received(data[:-1])},
    ),
    "pause_writing comes twice": ("pause-writing-once", {"pause_writing": twice("pause_writing")}),
    "resume_writing comes twice": ("limits-raised-while-paused", {"resume_writing": twice("resume_writing")}),
    "an exception in data_received is forgotten": ("data-raises", {"data_received": quietly("data_received")}),
    "an exception in connection_lost is forgotten": ("lost-raises", {"connection_lost": quietly("connection_lost")}),
}  # fmt: skip

ALL = [("transport", name) for name in OF_TRANSPORT] + [("protocol", name) for name in OF_PROTOCOL]


def between(overrides: dict[str, Callable[..., Any]]) -> type:
    """A protocol that passes everything on to another, except what it tells wrong."""

    def passing(name: str) -> Callable[..., Any]:
        return lambda self, *args: getattr(self.inner, name)(*args)

    def init(self: Any, inner: Any) -> None:
        self.inner = inner

    methods = {name: passing(name) for name in CALLBACKS} | overrides
    return type("Between", (asyncio.Protocol,), {"__init__": init, **methods})


def loop_with(where: str, name: str) -> Callable[[], Any]:
    """What makes loops whose TCP transports have this fault."""
    if where == "transport":
        transport: type = type("Faulty", (Real,), dict(OF_TRANSPORT[name][1]))
        if "set_protocol" in OF_TRANSPORT[name][1]:
            transport = type("Faulty", (Real,), {"set_protocol": set_once})
    else:
        telling = between(OF_PROTOCOL[name][1])
        transport = type("Faulty", (Real,), {
            "set_protocol": lambda self, protocol: Real.set_protocol(self, telling(protocol)),
        })  # fmt: skip

    class Loop(asyncio.SelectorEventLoop):
        def _make_socket_transport(
            self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
        ) -> Any:
            return transport(self, sock, protocol, waiter, extra, server)

    return Loop


def set_once(self: Any, protocol: Any) -> None:
    if getattr(self, "_protocol", None) is None:
        Real.set_protocol(self, protocol)


def test_there_are_more_than_30_faults() -> None:
    assert len(ALL) >= 30


@pytest.mark.parametrize(("where", "name"), ALL, ids=[name for _, name in ALL])
def test_a_fault_is_caught_by_its_case(where: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What never comes is waited for; here it never does.
    monkeypatch.setattr("wavetank.conformance.engine.WAIT_S", 0.3)
    case = (OF_TRANSPORT if where == "transport" else OF_PROTOCOL)[name][0]
    target = targets.Target("faulty", loop_with(where, name), "asyncio", "faulty", "0")
    result = runner.run_case(target, case)
    assert result.is_new, result
    if result.verdict == "fails":
        assert result.complaints
