"""Each rule of the contract is broken on purpose, once, and the monitor names it; what is allowed passes.

Row 1.13, the contract of asyncio with the profile of each loop, and the twenty differences of section 5 are here.
The tables are those of docs/contract.md: a rule without a row is a rule that nobody has seen caught.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import error, protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from wavetank.contract import KINDS, PROFILES, RULES, ContractViolation, Monitor
from wavetank.contract.rules import PROTOCOL

LOST = Failure(error.ConnectionDone())


class Wire:
    """A transport that does as it is told: the marks and the fill of its buffer are set by the test."""

    def __init__(self, *, size: int = 0, low: int = 10, high: int = 100, tls: bool = False) -> None:
        self.size, self.low, self.high, self.tls = size, low, high, tls
        self.inner: Any = None

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.low, self.high

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return object() if name == "sslcontext" and self.tls else default

    def write(self, data: Any) -> None:
        self.size += len(data)

    def writelines(self, data: Any) -> None:
        self.size += sum(map(len, data))

    def set_protocol(self, protocol: Any) -> None:
        self.inner = protocol

    def get_protocol(self) -> Any:
        return self.inner

    def nothing(self, *args: Any) -> None:
        pass

    write_eof = close = abort = pause_reading = resume_reading = sendto = nothing
    writeSequence = loseConnection = abortConnection = loseWriteConnection = nothing
    pauseProducing = resumeProducing = stopProducing = registerProducer = unregisterProducer = writeToChild = nothing


class Calling(Wire):
    """A transport that calls its protocol from inside `close`."""

    def close(self) -> None:  # type: ignore[override]  # its neighbour takes anything
        self.inner.connection_lost(None)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, buffer: Any = None) -> None:
        self.buffer = bytearray(4) if buffer is None else buffer

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        pass


class Producer:
    """A producer that does nothing."""

    def resumeProducing(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


def stream(wire: Wire | None = None, **options: Any) -> Monitor:
    return made(asyncio.Protocol(), wire, **options)


def made(watched: Any, wire: Wire | None = None, **options: Any) -> Monitor:
    monitor = Monitor(watched, **options)
    wire = wire or Wire()
    wire.inner = monitor
    monitor.connection_made(wire)
    return monitor


def twisted(watched: Any = None, **options: Any) -> Monitor:
    monitor = Monitor(watched or protocol.Protocol(), **options)
    monitor.makeConnection(Wire())
    return monitor


def calls(monitor: Monitor, *names: Any) -> None:
    """Each is the name of a method without arguments, or a tuple of name and arguments; `.name` is the transport's."""
    for each in names:
        name, *args = (each,) if isinstance(each, str) else each
        target = monitor.transport if name.startswith(".") else monitor
        getattr(target, name.lstrip("."))(*args)


DATA, TX_DATA = ("data_received", b"x"), ("dataReceived", b"x")
END, TX_END = ("connection_lost", None), ("connectionLost", LOST)

#: What breaks a rule: the rule, the words of docs/contract.md, and the breaking. The last call is the wrong one.
BREAKS: list[tuple[str, str, Callable[[], Any]]] = [
    ("made-first", "`data_received` before `connection_made`", lambda: calls(Monitor(asyncio.Protocol()), DATA)),
    ("made-first", "`dataReceived` before `makeConnection`", lambda: calls(Monitor(protocol.Protocol()), TX_DATA)),
    ("made-first", "`process_exited` of a process that was never made",
     lambda: calls(Monitor(asyncio.SubprocessProtocol()), "process_exited")),
    ("made-once", "`connection_made` twice", lambda: calls(stream(), ("connection_made", Wire()))),
    ("lost-once", "`connection_lost` twice", lambda: calls(stream(), END, END)),
    ("lost-once", "`connectionLost` twice", lambda: calls(twisted(), TX_END, TX_END)),
    ("lost-at-all", "a connection that is never lost", lambda: stream().finish()),
    ("nothing-after-lost", "`data_received` after `connection_lost`", lambda: calls(stream(), END, DATA)),
    ("nothing-after-lost", "`dataReceived` after `connectionLost`", lambda: calls(twisted(), TX_END, TX_DATA)),
    ("no-data-after-eof", "`data_received` after `eof_received`", lambda: calls(stream(), "eof_received", DATA)),
    ("no-data-after-eof", "`get_buffer` after `eof_received`",
     lambda: calls(made(Buffered()), "eof_received", ("get_buffer", -1))),
    ("eof-once", "`eof_received` twice", lambda: calls(stream(), "eof_received", "eof_received")),
    ("data-not-empty", '`data_received(b"")`', lambda: calls(stream(), ("data_received", b""))),
    ("data-is-bytes", "`data_received(bytearray(...))`", lambda: calls(stream(), ("data_received", bytearray(b"x")))),
    ("reason-is-exception", "`connection_lost(1)`", lambda: calls(stream(), ("connection_lost", 1))),
    ("reason-is-failure", "`connectionLost(None)`", lambda: calls(twisted(), ("connectionLost", None))),
    ("error-is-oserror", "`error_received(ValueError())`",
     lambda: calls(made(asyncio.DatagramProtocol()), ("error_received", ValueError()))),
    ("get-buffer-first", "`buffer_updated` without `get_buffer`",
     lambda: calls(made(Buffered()), ("buffer_updated", 1))),
    ("updated-within-buffer", "`buffer_updated(5)` for a buffer of four bytes",
     lambda: calls(made(Buffered()), ("get_buffer", -1), ("buffer_updated", 5))),
    ("updated-within-buffer", "`buffer_updated(0)`",
     lambda: calls(made(Buffered()), ("get_buffer", -1), ("buffer_updated", 0))),
    ("get-buffer-is-a-buffer", "`get_buffer` returns an empty buffer",
     lambda: calls(made(Buffered(bytearray())), ("get_buffer", -1))),
    ("get-buffer-is-a-buffer", "`get_buffer` returns a list", lambda: calls(made(Buffered([1])), ("get_buffer", -1))),
    ("pause-once", "`pause_writing` twice", lambda: calls(stream(Wire(size=200)), "pause_writing", "pause_writing")),
    ("resume-after-pause", "`resume_writing` without `pause_writing`", lambda: calls(stream(), "resume_writing")),
    ("pause-over-high", "`pause_writing` at exactly the high-water mark",
     lambda: calls(stream(Wire(size=100)), "pause_writing")),
    ("pause-at-once", "a write goes over the high-water mark and nobody is told",
     lambda: calls(stream(), (".write", b"x" * 101))),
    ("resume-at-low", "`resume_writing` one byte over the low-water mark", lambda: drained_to(11)),
    ("not-inside-a-call", "`connection_lost` from inside `close`", lambda: calls(stream(Calling()), ".close")),
    ("not-inside-a-call", "`connectionLost` from inside `abortConnection`", lambda: lost_inside()),
    ("no-data-while-paused", "`data_received` after `pause_reading`", lambda: calls(stream(), ".pause_reading", DATA)),
    ("no-data-while-paused", "`dataReceived` after `pauseProducing`",
     lambda: calls(twisted(), ".pauseProducing", TX_DATA)),
    ("no-data-after-close", "`data_received` after `abort`", lambda: calls(stream(), ".abort", DATA)),
    ("no-data-after-close", "`dataReceived` after `abortConnection`",
     lambda: calls(twisted(), ".abortConnection", TX_DATA)),
    ("pipe-lost-once", "`pipe_connection_lost(1, None)` twice",
     lambda: calls(process(), ("pipe_connection_lost", 1, None), ("pipe_connection_lost", 1, None))),
    ("no-data-after-pipe-lost", "`pipe_data_received(1, ...)` after `pipe_connection_lost(1, ...)`",
     lambda: calls(process(), ("pipe_connection_lost", 1, None), ("pipe_data_received", 1, b"x"))),
    ("no-data-after-pipe-lost", "`childDataReceived(1, ...)` after `childConnectionLost(1)`",
     lambda: calls(tx_process(), ("childConnectionLost", 1), ("childDataReceived", 1, b"x"))),
    ("exit-once", "`process_exited` twice", lambda: calls(process(), "process_exited", "process_exited")),
    ("exit-first", "`connection_lost` of a process that has not exited", lambda: calls(process(), END)),
    ("exit-first", "`processEnded` before `processExited`", lambda: calls(tx_process(), ("processEnded", LOST))),
    ("pipes-first", "`connection_lost` while stdout is open",
     lambda: calls(process(), ("pipe_data_received", 1, b"x"), "process_exited", END)),
    ("write-after-lost", "`write` after `connection_lost`", lambda: calls(stream(), END, (".write", b"x"))),
    ("write-after-lost", "`write` after `connectionLost`", lambda: calls(twisted(), TX_END, (".write", b"x"))),
    ("write-after-lost", "`sendto` after `connection_lost`",
     lambda: calls(made(asyncio.DatagramProtocol()), END, (".sendto", b"x"))),
    ("write-after-close", "`write` after `close`", lambda: calls(stream(), ".close", (".write", b"x"))),
    ("write-after-eof", "`write` after `write_eof`", lambda: calls(stream(), ".write_eof", (".write", b"x"))),
    ("write-after-eof", "`write` after `loseWriteConnection`",
     lambda: calls(twisted(), ".loseWriteConnection", (".write", b"x"))),
    ("write-is-bytes", '`write("text")`', lambda: calls(stream(), (".write", "text"))),
    ("write-is-bytes", '`writelines([b"x", None])`', lambda: calls(stream(), (".writelines", [b"x", None]))),
    ("twisted-write-is-bytes", "`write(bytearray(...))` in Twisted",
     lambda: calls(twisted(), (".write", bytearray(b"x")))),
    ("one-producer", "a second `registerProducer`",
     lambda: calls(twisted(), (".registerProducer", Producer(), True), (".registerProducer", Producer(), True))),
    ("one-producer", "a second producer for a consumer that is no transport", lambda: second_for_consumer()),
    ("nothing-after-stop", "`resumeProducing` after `stopProducing`",
     lambda: calls(Monitor(Producer()), "stopProducing", "resumeProducing")),
    ("pull-is-not-paused", "`pauseProducing` of a pull producer",
     lambda: calls(Monitor(Producer(), kind="pull producer"), "pauseProducing")),
    ("started-first", "`datagramReceived` before `makeConnection`",
     lambda: calls(Monitor(protocol.DatagramProtocol()), ("datagramReceived", b"x", ("127.0.0.1", 1)))),
]  # fmt: skip


def drained_to(size: int) -> None:
    wire = Wire(size=200)
    monitor = stream(wire)
    monitor.pause_writing()
    wire.size = size
    monitor.resume_writing()


def process() -> Monitor:
    return made(asyncio.SubprocessProtocol())


def tx_process() -> Monitor:
    return twisted(protocol.ProcessProtocol())


def lost_inside() -> None:
    monitor = Monitor(protocol.Protocol())
    wire = Wire()
    wire.abortConnection = lambda *_: monitor.connectionLost(LOST)  # type: ignore[method-assign]
    monitor.makeConnection(wire)
    monitor.transport.abortConnection()


def second_for_consumer() -> None:
    consumer = Monitor(StringTransport(), kind="consumer")
    consumer.registerProducer(Producer(), True)
    consumer.registerProducer(Producer(), True)


@pytest.mark.parametrize(("rule", "breaking"), [(rule, do) for rule, _, do in BREAKS], ids=[w for _, w, _ in BREAKS])
def test_a_broken_rule_is_named_with_its_source_and_history(rule: str, breaking: Callable[[], Any]) -> None:
    with pytest.raises(ContractViolation) as caught:
        breaking()
    violation = caught.value
    assert violation.rule == rule
    assert violation.source == RULES[rule].source
    assert RULES[rule].says in str(violation)
    assert str(violation).startswith(f"the {RULES[rule].breaker} broke a rule")
    for call in violation.history:
        assert str(call) in str(violation)


def test_every_rule_is_broken_by_a_test() -> None:
    assert {rule for rule, _, _ in BREAKS} == {*RULES}


def test_every_rule_has_words_a_breaker_and_a_source() -> None:
    assert all(rule.says and rule.source and rule.breaker in ("protocol", "transport") for rule in RULES.values())
    assert any(rule.breaker == PROTOCOL for rule in RULES.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=[*KINDS])
def test_the_tables_are_whole(kind: Any) -> None:
    """Every state is reached, every rule exists, and no call both leads on and breaks a rule."""
    known = {*kind.hears, *kind.says}
    for machine in kind.machines:
        states = {*machine.steps}
        reached = {machine.start, machine.joined} | {to for row in machine.steps.values() for to in row.values()}
        assert reached - {None} == states
        assert {*machine.breaks} <= states
        for state in states:
            leads, breaks = machine.steps[state], machine.breaks.get(state, {})
            assert not {*leads} & {*breaks}, (machine.name, state)
            assert {*breaks.values()} <= {*RULES}
        assert {*machine.calls} <= known | {kind.lost, "connectionLost", "get_buffer", "data_received"}, machine.name


ALLOWED: list[tuple[str, Callable[[], Any]]] = [
    ("pause one byte over, resume at the low mark", lambda: paused_and_drained()),
    ("get_buffer twice", lambda: calls(made(Buffered()), ("get_buffer", -1), ("get_buffer", -1))),
    ("an empty datagram", lambda: calls(made(asyncio.DatagramProtocol()), ("datagram_received", b"", ("h", 1)))),
    ("close and abort after the loss", lambda: calls(stream(), END, ".close", ".abort")),
    ("abort after close", lambda: calls(stream(), ".close", ".abort", ".abort", END)),
    ("pausing reading twice", lambda: calls(stream(), ".pause_reading", ".pause_reading", ".resume_reading", DATA)),
    ("EOF while reading is paused", lambda: calls(stream(), ".pause_reading", "eof_received")),
    ("lost while writing is paused", lambda: calls(stream(Wire(size=200)), "pause_writing", END)),
    ("exit before the last output", lambda: calls(process(), "process_exited", ("pipe_data_received", 1, b"x"),
                                                   ("pipe_connection_lost", 1, None), END)),
    ("data after loseConnection", lambda: calls(twisted(), ".loseConnection", TX_DATA, TX_END)),
    ("write after loseConnection", lambda: calls(twisted(), ".loseConnection", (".write", b"x"), TX_END)),
    ("a push producer paused twice", lambda: calls(Monitor(Producer()), "pauseProducing", "pauseProducing",
                                                    "resumeProducing", "stopProducing")),
]  # fmt: skip


def paused_and_drained() -> None:
    wire = Wire(size=101)
    monitor = stream(wire)
    monitor.pause_writing()
    wire.size = 10
    monitor.resume_writing()


@pytest.mark.parametrize("doing", [do for _, do in ALLOWED], ids=[words for words, _ in ALLOWED])
def test_what_the_contract_leaves_open_passes(doing: Callable[[], Any]) -> None:
    doing()


@pytest.mark.parametrize(
    ("profile", "allowed"),
    [
        ("cpython", lambda p: calls(stream(profile=p), "eof_received", "eof_received")),
        ("cpython", lambda p: calls(stream(profile=p), ".close", (".write", b"x"))),
        ("cpython", lambda p: calls(stream(Wire(size=100, tls=True), profile=p), "pause_writing")),
        ("cpython", lambda p: calls(stream(profile=p), (".writelines", [b"x" * 101]))),
        ("uvloop", lambda p: paused_in_made(p)),
        ("twisted", lambda p: calls(twisted(profile=p), TX_END, (".write", b"x"))),
    ],
    ids=["eof again", "write after close", "pause at high over TLS", "writelines", "pause in made", "write after loss"],
)
def test_a_profile_allows_what_its_loop_does(profile: str, allowed: Callable[[str], Any]) -> None:
    with pytest.raises(ContractViolation):
        allowed("documented")
    allowed(profile)


def paused_in_made(profile: str) -> None:
    class Pausing(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()

    calls(made(Pausing(), profile=profile), DATA)


def test_a_profile_that_allows_one_case_does_not_allow_the_others() -> None:
    with pytest.raises(ContractViolation):
        calls(stream(profile="uvloop"), ".pause_reading", DATA)
    with pytest.raises(ContractViolation):
        calls(stream(Wire(size=100), profile="cpython"), "pause_writing")


def test_every_allowance_names_a_rule_and_a_reason() -> None:
    for profile in PROFILES.values():
        assert all(each.rule in RULES and each.why for each in profile.allows)
        assert profile.says


def test_each_profile_of_a_loop_has_all_twenty_differences() -> None:
    assert {name: len(profile.differences()) for name, profile in PROFILES.items()} == {
        "documented": 0, "cpython": 20, "uvloop": 20, "twisted": 20,
    }  # fmt: skip


def test_the_loops_of_this_process_have_the_marks_of_their_profile() -> None:
    async def marks() -> tuple[int, int]:
        left, right = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=left)
        try:
            return transport.get_write_buffer_limits()
        finally:
            transport.close()
            right.close()
            await asyncio.sleep(0)

    assert asyncio.run(marks()) == PROFILES["cpython"].limits
