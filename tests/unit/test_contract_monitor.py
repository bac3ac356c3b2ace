"""The monitor stands in for protocols and transports, passes everything on, and says what it saw."""

import asyncio
import pickle
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import interfaces, protocol
from twisted.internet.testing import StringTransport

from tests.support import certificates
from tests.unit.test_contract_rules import DATA, END, Producer, Wire, calls, made, stream, twisted
from wavetank.contract import (
    BufferedProtocol,
    ContractViolation,
    DatagramProtocol,
    Monitor,
    Protocol,
    datagram_error,
)
from wavetank.errors import UsageError


def test_the_interfaces_are_the_standard_librarys() -> None:
    assert Protocol is asyncio.Protocol
    assert BufferedProtocol is asyncio.BufferedProtocol
    assert issubclass(DatagramProtocol, asyncio.DatagramProtocol)


def test_importing_the_contract_does_not_import_twisted() -> None:
    code = "import sys, wavetank.contract; print('twisted' in sys.modules, 'zope.interface' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


class Remembering(asyncio.Protocol):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen.append(data)

    def eof_received(self) -> bool:
        return True


def test_calls_answers_and_attributes_reach_the_protocol() -> None:
    inner = Remembering()
    monitor = made(inner)
    monitor.data_received(b"x")
    assert inner.seen == monitor.seen == [b"x"]
    assert monitor.eof_received() is True
    monitor.colour = "red"
    assert inner.colour == "red"  # type: ignore[attr-defined]  # set through the monitor
    assert monitor.protocol is inner
    assert monitor.transport is inner.transport


def test_a_loop_sees_the_class_that_it_looks_for() -> None:
    assert isinstance(Monitor(asyncio.Protocol()), asyncio.Protocol)
    assert isinstance(Monitor(asyncio.Protocol()), Monitor)
    assert not isinstance(Monitor(asyncio.Protocol()), asyncio.BufferedProtocol)
    assert isinstance(made(asyncio.Protocol()).transport, asyncio.Transport)
    assert isinstance(made(asyncio.DatagramProtocol()).transport, asyncio.DatagramTransport)
    assert isinstance(made(asyncio.SubprocessProtocol()).transport, asyncio.SubprocessTransport)


def test_a_protocol_without_a_base_class_is_told_by_its_methods() -> None:
    class Bare:
        def connection_made(self, transport: Any) -> None: ...
        def get_buffer(self, sizehint: int) -> bytearray:
            return bytearray(sizehint)

        def buffer_updated(self, nbytes: int) -> None: ...

    assert isinstance(Monitor(Bare()), asyncio.BufferedProtocol)


def test_the_history_has_both_directions_in_order_with_sizes_and_times() -> None:
    now = iter(range(100))
    monitor = stream(clock=lambda: next(now))
    calls(monitor, ("data_received", b"12345"), (".write", b"123"), (".writelines", [b"12", b"3"]), END)
    assert [(each.by, each.name, each.size) for each in monitor.history] == [
        ("transport", "connection_made", None),
        ("transport", "data_received", 5),
        ("protocol", "write", 3),
        ("protocol", "writelines", 3),
        ("transport", "connection_lost", None),
    ]
    assert [each.time_s for each in monitor.history] == [1, 2, 3, 4, 5]
    assert str(monitor.history[1]) == "   2.000000 s  transport -> data_received(5 bytes)"


def test_only_the_last_calls_are_kept() -> None:
    monitor = stream(history=3)
    calls(monitor, *[DATA] * 10)
    assert len(monitor.history) == 3
    with pytest.raises(ContractViolation, match="after 12 calls"):
        monitor.connection_made(Wire())


def test_a_violation_crosses_processes_whole() -> None:
    with pytest.raises(ContractViolation) as caught:
        calls(Monitor(asyncio.Protocol()), DATA)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.history == caught.value.history


def test_a_violation_that_raises_keeps_the_call_from_being_made() -> None:
    inner = Remembering()
    monitor = Monitor(inner)
    with pytest.raises(ContractViolation):
        monitor.data_received(b"x")
    assert inner.seen == []
    with pytest.raises(ContractViolation, match="made-first"):
        monitor.finish()


def test_recorded_violations_let_the_call_through() -> None:
    inner = Remembering()
    monitor = Monitor(inner, on_violation="record")
    monitor.data_received(b"x")
    assert inner.seen == [b"x"]
    assert [each.rule for each in monitor.violations] == ["made-first"]
    monitor.finish()


def test_a_function_is_called_with_each_violation() -> None:
    found: list[ContractViolation] = []
    calls(Monitor(asyncio.Protocol(), on_violation=found.append), DATA, DATA)
    assert [each.rule for each in found] == ["made-first", "made-first"]


def test_the_protocol_that_takes_over_is_watched_where_the_first_one_was() -> None:
    monitor = stream()
    calls(monitor, DATA, ".pause_reading")
    second = Remembering()
    monitor.transport.set_protocol(second)
    assert monitor.transport.get_protocol() is second
    current = monitor.transport._real.inner
    with pytest.raises(ContractViolation, match="no-data-while-paused"):
        current.data_received(b"x")
    calls(current, ".resume_reading", DATA, END)
    with pytest.raises(ContractViolation, match="lost-once"):
        current.connection_lost(None)
    assert [each.rule for each in monitor.violations] == ["no-data-while-paused", "lost-once"]


def test_a_protocol_assigned_to_a_twisted_transport_is_watched() -> None:
    monitor = twisted()
    second = protocol.Protocol()
    monitor.transport.protocol = second
    assert monitor.transport.protocol is second
    current = monitor.transport._real.protocol
    current.dataReceived(b"x")
    assert current.history[-1].name == "dataReceived"


def test_a_registered_producer_is_watched_and_looks_like_itself() -> None:
    monitor = Monitor(protocol.Protocol())
    monitor.makeConnection(StringTransport())
    producer = Producer()
    monitor.transport.registerProducer(producer, True)
    assert monitor.transport.producer is producer
    watched = monitor.transport._real.producer
    watched.stopProducing()
    with pytest.raises(ContractViolation, match="nothing-after-stop"):
        watched.resumeProducing()
    assert [each.rule for each in monitor.violations] == ["nothing-after-stop"]


def test_interfaces_of_twisted_are_those_of_the_object_behind() -> None:
    class Half(protocol.Protocol):
        def readConnectionLost(self) -> None: ...
        def writeConnectionLost(self) -> None: ...

    from zope.interface import classImplements

    classImplements(Half, interfaces.IHalfCloseableProtocol)
    assert interfaces.IHalfCloseableProtocol.providedBy(Monitor(Half()))
    assert not interfaces.IHalfCloseableProtocol.providedBy(Monitor(protocol.Protocol()))
    assert interfaces.ITransport.providedBy(twisted_on(StringTransport()).transport)


def twisted_on(transport: Any) -> Monitor:
    monitor = Monitor(protocol.Protocol())
    monitor.makeConnection(transport)
    return monitor


REFUSED = ConnectionRefusedError(111, "Connection refused")


def test_a_refusal_reaches_error_received_and_connection_refused_once_each() -> None:
    heard: list[str] = []

    class Both(DatagramProtocol):
        def error_received(self, exc: Exception) -> None:
            heard.append("error")

        def connection_refused(self, exc: Exception) -> None:
            heard.append("refused")

    class Refused(DatagramProtocol):
        def connection_refused(self, exc: Exception) -> None:
            heard.append("refused")

    made(Both()).error_received(REFUSED)
    assert heard == ["error", "refused"]
    heard.clear()
    made(Refused()).error_received(REFUSED)
    assert heard == ["refused"]
    heard.clear()
    datagram_error(Both(), OSError(90, "Message too long"))
    assert heard == ["error"]


@pytest.mark.parametrize(
    ("making", "text"),
    [
        (lambda: Monitor(42), "cannot tell what a int is"),
        (lambda: Monitor(asyncio.Protocol), "Protocol is a class"),
        (lambda: Monitor(asyncio.Protocol(), kind="streem"), "'streem' is no kind of protocol. Did you mean 'stream'?"),
        (lambda: Monitor(asyncio.Protocol(), profile="cpyton"), "'cpyton' is no profile. Did you mean 'cpython'?"),
        (lambda: Monitor(asyncio.Protocol(), on_violation="ignore"), "on_violation is 'ignore'"),
        (lambda: Monitor(Monitor(asyncio.Protocol())), "watched by a monitor already"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(making: Callable[[], Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        making()
    assert text in str(caught.value)
    assert caught.value.next


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_an_ordinary_server_on_a_real_loop_breaks_nothing() -> None:
    monitors: list[Monitor] = []

    def watched() -> Monitor:
        monitors.append(Monitor(Echo(), history=10_000))
        return monitors[-1]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(watched, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for size in (1, 100_000, 300_000):
            writer.write(b"x" * size)
            assert await reader.readexactly(size) == b"x" * size
        writer.close()
        await writer.wait_closed()
        while not any(call.name == "connection_lost" for call in monitors[0].history):
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    monitors[0].finish()
    assert sum(call.size or 0 for call in monitors[0].history if call.name == "data_received") == 400_001


def test_starting_tls_over_a_watched_transport_works(tmp_path: Path) -> None:
    """`loop.start_tls` takes the watched transport, puts its own protocol in place, and that one is watched."""
    files = certificates.write(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files.server)
    asking = ssl.create_default_context(cafile=files.authority)
    monitors: list[Monitor] = []

    class Upgrading(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.upgrade = asyncio.ensure_future(asyncio.get_running_loop().start_tls(
                transport, Echo(), serving, server_side=True
            ))  # fmt: skip

    def watched() -> Monitor:
        monitors.append(Monitor(Upgrading(), on_violation="record"))
        return monitors[-1]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(watched, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await writer.start_tls(asking, server_hostname="localhost")
        transport = await monitors[0].upgrade
        transport.get_protocol().connection_made(transport)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    assert monitors[0].violations == []
    assert {"data_received", "get_buffer", "buffer_updated"} & {call.name for call in monitors[0].history}
