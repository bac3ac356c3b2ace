"""The Twisted doubles behave as the names of `twisted.internet.testing` in release 26.10 do.

Rows are those of the list of facts that these doubles were made from: 1.1 AccumulatingProtocol, 1.2 StringTransport,
1.3 StringTransportWithDisconnection, 1.4 FakeDatagramTransport, 1.5 reactors, 1.12 process protocols. Where Twisted's
own double is there to be asked, the same test runs on both, so that the fact is checked, too.
"""

import socket
from typing import Any

import pytest
from twisted.internet import address, error, interfaces, protocol, task, testing
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass, verifyObject

from wavetank.doubles import tx
from wavetank.errors import ContractViolation, UsageError

both = pytest.mark.parametrize("doubles", [tx, testing], ids=["ours", "twisted"])
REASON = Failure(error.ConnectionDone())


# ---- 1.1 AccumulatingProtocol


@both
def test_1_1_defaults_are_class_attributes(doubles: Any) -> None:
    kind = doubles.AccumulatingProtocol
    assert issubclass(kind, protocol.Protocol)
    assert (kind.made, kind.closed, kind.data) == (0, 0, b"")
    assert (kind.closedReason, kind.closedDeferred, kind.factory) == (None, None, None)


@both
def test_1_1_it_accumulates_without_any_check_of_order(doubles: Any) -> None:
    one = doubles.AccumulatingProtocol()
    one.dataReceived(b"early")
    one.makeConnection(doubles.StringTransport())
    one.dataReceived(b", late")
    assert (one.made, one.data) == (1, b"early, late")
    one.connectionLost(REASON)
    one.connectionLost(None)
    assert (one.closed, one.closedReason) == (1, None)
    doubles.AccumulatingProtocol().connectionLost()


@both
def test_1_1_the_factory_s_deferred_fires_for_the_first_protocol_only(doubles: Any) -> None:
    factory = protocol.ServerFactory()
    factory.protocol = doubles.AccumulatingProtocol
    factory.protocolConnectionMade = waiting = Deferred()  # type: ignore[attr-defined]
    seen: list[Any] = []
    waiting.addCallback(lambda made: seen.append((made, made.made, factory.protocolConnectionMade)))  # type: ignore[attr-defined]
    one, two = (factory.buildProtocol(address.IPv4Address("TCP", "10.0.0.1", 1)) for _ in range(2))
    one.makeConnection(doubles.StringTransport())
    two.makeConnection(doubles.StringTransport())
    assert seen == [(one, 1, None)]


@both
def test_1_1_a_factory_without_the_deferred_is_an_attribute_error(doubles: Any) -> None:
    one = doubles.AccumulatingProtocol()
    one.factory = protocol.Factory()
    with pytest.raises(AttributeError, match="protocolConnectionMade"):
        one.connectionMade()
    assert one.made == 1


@both
def test_1_1_the_closing_deferred_is_taken_away_before_it_fires(doubles: Any) -> None:
    one = doubles.AccumulatingProtocol()
    one.closedDeferred = waiting = Deferred()
    seen: list[Any] = []
    waiting.addCallback(lambda result: seen.append((result, one.closed, one.closedReason, one.closedDeferred)))
    one.connectionLost(REASON)
    one.connectionLost(REASON)
    assert seen == [(None, 1, REASON, None)]


# ---- 1.2 StringTransport


@both
@pytest.mark.parametrize("interface", [interfaces.ITransport, interfaces.IConsumer, interfaces.IPushProducer])
def test_1_2_interfaces(doubles: Any, interface: Any) -> None:
    assert verifyObject(interface, doubles.StringTransport())


@both
def test_1_2_it_remembers_what_was_written(doubles: Any) -> None:
    transport = doubles.StringTransport()
    assert (transport.connected, transport.disconnecting, transport.disconnected) == (True, False, False)
    transport.write(b"a")
    transport.writeSequence([b"b", bytearray(b"c")])
    first = transport.io
    assert transport.value() == b"abc"
    transport.clear()
    assert transport.value() == b""
    assert transport.io is not first
    transport.loseConnection()
    transport.loseConnection()
    transport.abortConnection()
    transport.write(b"late")
    assert transport.value() == b"late"
    assert (transport.connected, transport.disconnecting, transport.disconnected) == (True, True, True)


@both
@pytest.mark.parametrize("data", ["text", bytearray(b"a"), memoryview(b"a"), None])
def test_1_2_write_takes_bytes_only(doubles: Any, data: Any) -> None:
    with pytest.raises(TypeError, match=r"^Data must be bytes$"):
        doubles.StringTransport().write(data)


@both
def test_1_2_write_sequence_takes_what_join_takes(doubles: Any) -> None:
    with pytest.raises(TypeError, match=r"sequence item 0: expected a bytes-like object, str found"):
        doubles.StringTransport().writeSequence(["text"])


@both
def test_1_2_addresses(doubles: Any) -> None:
    transport = doubles.StringTransport()
    assert (transport.hostAddr, transport.peerAddr) == (None, None)
    assert transport.getHost() == address.IPv4Address("TCP", "10.0.0.1", 12345)
    assert transport.getPeer() == address.IPv4Address("TCP", "192.168.1.1", 54321)
    here, there = object(), object()
    transport = doubles.StringTransport(here, there)
    assert (transport.getHost(), transport.getPeer()) == (here, there)
    assert doubles.StringTransport(peerAddress=there).peerAddr is there


@both
def test_1_2_producers_are_kept_and_never_called(doubles: Any) -> None:
    transport, one = doubles.StringTransport(), object()
    with pytest.raises(RuntimeError, match=r"^Cannot unregister a producer unless one is registered$"):
        transport.unregisterProducer()
    transport.registerProducer(one, False)
    assert (transport.producer, transport.streaming) == (one, False)
    with pytest.raises(RuntimeError, match=r"^Cannot register two producers$"):
        transport.registerProducer(object(), True)
    transport.unregisterProducer()
    assert (transport.producer, transport.streaming) == (None, None)


@both
def test_1_2_states_of_the_producer(doubles: Any) -> None:
    transport = doubles.StringTransport()
    assert transport.producerState == "producing"
    transport.resumeProducing()
    for _ in range(2):
        transport.pauseProducing()
        assert transport.producerState == "paused"
    transport.resumeProducing()
    assert transport.producerState == "producing"
    transport.stopProducing()
    for call in (transport.pauseProducing, transport.resumeProducing):
        with pytest.raises(RuntimeError, match=r"^Cannot resume a stopped producer$"):
            call()


@both
def test_1_2_after_lose_connection_only_the_lenient_may_pause(doubles: Any) -> None:
    transport = doubles.StringTransport()
    transport.loseConnection()
    for call in (transport.pauseProducing, transport.resumeProducing):
        with pytest.raises(RuntimeError, match=r"^Cannot resume producing after loseConnection$"):
            call()
    transport.stopProducing()
    lenient = doubles.StringTransport(lenient=True)
    lenient.loseConnection()
    lenient.pauseProducing()
    lenient.stopProducing()
    with pytest.raises(RuntimeError, match=r"^Cannot resume a stopped producer$"):
        lenient.pauseProducing()


# ---- 1.3 StringTransportWithDisconnection


@both
@pytest.mark.parametrize("call", ["loseConnection", "abortConnection"])
def test_1_3_the_protocol_is_told_at_once_and_once_that_all_is_done(doubles: Any, call: str) -> None:
    transport = doubles.StringTransportWithDisconnection()
    transport.protocol = one = doubles.AccumulatingProtocol()
    one.makeConnection(transport)
    getattr(transport, call)()
    assert one.closedReason.check(error.ConnectionDone)
    assert str(one.closedReason.value).endswith("Bye..")
    assert (transport.connected, transport.disconnecting) == (False, False)
    assert transport.disconnected is (call == "abortConnection")
    one.closedReason = None
    getattr(transport, call)()
    assert one.closedReason is None
    transport.pauseProducing()
    transport.resumeProducing()


@both
def test_1_3_without_a_protocol_losing_is_an_attribute_error(doubles: Any) -> None:
    with pytest.raises(AttributeError, match="protocol"):
        doubles.StringTransportWithDisconnection().loseConnection()


# ---- 1.4 FakeDatagramTransport


@both
def test_1_4_packets_are_kept_with_their_address(doubles: Any) -> None:
    transport = doubles.FakeDatagramTransport()
    transport.write(b"a", ("10.0.0.1", 1))
    transport.write("anything")
    no_address = doubles.FakeDatagramTransport.noAddr
    assert transport.written == [(b"a", ("10.0.0.1", 1)), ("anything", no_address)]
    assert interfaces.IUDPTransport.providedBy(transport)


# ---- 1.5 MemoryReactor, MemoryReactorClock, RaisingMemoryReactor


class Factory(protocol.ClientFactory):
    noisy = False
    started: Any = None

    def startedConnecting(self, connector: Any) -> None:
        self.started = connector


REACTORS = [tx.MemoryReactor, tx.MemoryReactorClock, testing.MemoryReactor, testing.MemoryReactorClock]


@pytest.mark.parametrize("kind", [tx.MemoryReactor, tx.MemoryReactorClock, tx.RaisingMemoryReactor])
def test_1_5_interfaces(kind: Any) -> None:
    from zope.interface import implementedBy

    theirs = {each.__name__ for each in implementedBy(getattr(testing, kind.__name__))}
    assert {each.__name__ for each in implementedBy(kind)} >= theirs
    for interface in implementedBy(kind):
        assert verifyClass(interface, kind)


@pytest.mark.parametrize("kind", REACTORS)
def test_1_5_what_listens_is_recorded(kind: Any) -> None:
    reactor, factory, context = kind(), Factory(), object()
    ports = [
        reactor.listenTCP(80, factory),
        reactor.listenTCP(81, factory, 5, "::1"),
        reactor.listenSSL(443, factory, context, interface="::1"),
        reactor.listenUNIX("/tmp/x", factory),
        reactor.adoptStreamPort(7, socket.AF_INET, factory),
        reactor.adoptStreamPort(8, socket.AF_INET6, factory),
        reactor.adoptDatagramPort(9, socket.AF_INET, factory),
        reactor.adoptDatagramPort(10, socket.AF_INET6, factory, 100),
    ]
    assert [port.getHost() for port in ports] == [
        address.IPv4Address("TCP", "0.0.0.0", 80),
        address.IPv6Address("TCP", "::1", 81),
        address.IPv4Address("TCP", "0.0.0.0", 443),
        address.UNIXAddress("/tmp/x"),
        address.IPv4Address("TCP", "0.0.0.0", 1234),
        address.IPv6Address("TCP", "::", 1234),
        address.IPv4Address("UDP", "0.0.0.0", 1234),
        address.IPv6Address("UDP", "::", 1234),
    ]
    for port in ports:
        assert verifyObject(interfaces.IListeningPort, port)
        assert (port.startListening(), port.stopListening()) == (None, None)
    assert reactor.tcpServers == [(80, factory, 50, ""), (81, factory, 5, "::1")]
    assert reactor.sslServers == [(443, factory, context, 50, "::1")]
    assert reactor.unixServers == [("/tmp/x", factory, 50, 0o666, 0)]
    assert reactor.adoptedPorts == [
        (7, socket.AF_INET, factory),
        (8, socket.AF_INET6, factory),
        (9, socket.AF_INET, factory, 8192),
        (10, socket.AF_INET6, factory, 100),
    ]
    for adopt in (reactor.adoptStreamPort, lambda *given: reactor.adoptDatagramPort(*given, 1)):
        with pytest.raises(error.UnsupportedAddressFamily):
            adopt(1, socket.AF_UNIX, factory)


@pytest.mark.parametrize("kind", REACTORS)
def test_1_5_what_connects_is_recorded_and_never_completes(kind: Any) -> None:
    reactor, factory, context = kind(), Factory(), object()
    made = [
        reactor.connectTCP("10.0.0.2", 80, factory),
        reactor.connectTCP("::1", 81, factory, 5, "10.0.0.1"),
        reactor.connectSSL("10.0.0.2", 443, factory, context),
        reactor.connectUNIX("/tmp/x", factory),
    ]
    assert reactor.connectors == made
    assert factory.started is made[-1]
    assert [connector.getDestination() for connector in made] == [
        address.IPv4Address("TCP", "10.0.0.2", 80),
        address.IPv6Address("TCP", "::1", 81),
        address.IPv4Address("TCP", "10.0.0.2", 443),
        address.UNIXAddress("/tmp/x"),
    ]
    assert reactor.tcpClients == [("10.0.0.2", 80, factory, 30, None), ("::1", 81, factory, 5, "10.0.0.1")]
    assert reactor.sslClients == [("10.0.0.2", 443, factory, context, 30, None)]
    assert reactor.unixClients == [("/tmp/x", factory, 30, 0)]
    assert verifyObject(interfaces.IConnector, made[0])
    assert (made[0].stoppedConnecting, made[0]._disconnected) == (False, False)
    assert made[0].connect() is None
    made[0].stopConnecting()
    made[0].disconnect()
    assert (made[0].stoppedConnecting, made[0]._disconnected) == (True, True)
    assert reactor.adoptStreamConnection(7, socket.AF_INET, factory) is None
    assert reactor.adoptedStreamConnections == [(7, socket.AF_INET, factory)]


@pytest.mark.parametrize("kind", REACTORS)
def test_1_5_running(kind: Any) -> None:
    reactor = kind()
    assert (reactor.running, reactor.hasInstalled) == (False, False)
    assert (reactor.hasRun, reactor.hasStopped, reactor.hasCrashed) == (False, False, False)
    seen: list[Any] = []
    reactor.callWhenRunning(seen.append, 1)
    assert len(reactor.whenRunningHooks) == 1
    reactor.callWhenRunning(lambda: seen.append(reactor.running))
    reactor.run()
    assert seen == [1, True]
    reactor.callWhenRunning(seen.append, 2)
    assert seen == [1, True, 2]
    assert (reactor.running, reactor.hasRun, reactor.hasStopped) == (False, True, True)
    reactor.crash()
    assert (reactor.running, reactor.hasCrashed) == (None, True)
    with pytest.raises(AssertionError):
        reactor.run()
    reactor.install()
    assert reactor.hasInstalled


@pytest.mark.parametrize("kind", REACTORS)
def test_1_5_the_rest(kind: Any) -> None:
    reactor, one = kind(), object()
    for call in ("addReader", "addWriter"):
        getattr(reactor, call)(one)
    assert (reactor.getReaders(), reactor.getWriters(), reactor.readers, reactor.writers) == (
        [one],
        [one],
        {one},
        {one},
    )
    assert reactor.removeAll() == [one]
    reactor.removeReader(one)
    reactor.removeWriter(one)
    assert reactor.removeAll() == []
    assert reactor.addSystemEventTrigger("before", "shutdown", print, 1, end="") is None
    assert reactor.triggers == {"before": {"shutdown": [(print, (1,), {"end": ""})]}}
    for call, given in (
        ("resolve", ("x",)),
        ("iterate", ()),
        ("fireSystemEvent", ("x",)),
        ("removeSystemEventTrigger", (1,)),
    ):
        with pytest.raises(NotImplementedError):
            getattr(reactor, call)(*given)
    before, resolver = reactor.nameResolver, object()
    assert reactor.installNameResolver(resolver) is before
    assert reactor.nameResolver is resolver
    assert not hasattr(reactor, "listenUDP")
    assert not hasattr(reactor, "spawnProcess")


@both
def test_1_5_names_are_resolved_at_once_to_one_address(doubles: Any) -> None:
    class Receiver:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def resolutionBegan(self, resolution: Any) -> None:
            self.seen.append(resolution.name)

        def addressResolved(self, found: Any) -> None:
            self.seen.append(found)

        def resolutionComplete(self) -> None:
            self.seen.append("complete")

    receiver = Receiver()
    doubles.MemoryReactor().nameResolver.resolveHostName(receiver, "example.org", 25)
    assert receiver.seen == ["example.org", address.IPv4Address("TCP", "127.0.0.1", 25), "complete"]


@both
def test_1_5_the_clock_is_that_of_task(doubles: Any) -> None:
    reactor, seen = doubles.MemoryReactorClock(), []
    assert isinstance(reactor, task.Clock)
    reactor.callLater(3, seen.append, 1)
    reactor.advance(2.9)
    assert seen == []
    reactor.advance(0.1)
    assert seen == [1]


@both
def test_1_5_the_raising_reactor_raises(doubles: Any) -> None:
    listening, connecting = error.CannotListenError("x", 1, OSError()), error.ConnectError()
    reactor = doubles.RaisingMemoryReactor(listening, connecting)
    for call, given in (
        ("listenTCP", (1, None)),
        ("listenSSL", (1, None, None)),
        ("listenUNIX", ("x", None)),
        ("adoptStreamPort", (1, 2, None)),
    ):
        with pytest.raises(error.CannotListenError):
            getattr(reactor, call)(*given)
    for call, given in (
        ("connectTCP", ("x", 1, None)),
        ("connectSSL", ("x", 1, None, None)),
        ("connectUNIX", ("x", None)),
        ("adoptDatagramPort", (1, 2, None, 8192)),
        ("adoptStreamConnection", (1, 2, None)),
    ):
        with pytest.raises(error.ConnectError):
            getattr(reactor, call)(*given)
    before = reactor.nameResolver
    assert reactor.installNameResolver(None) is before


# ---- the others of the module


@both
def test_a_pull_producer_of_ten(doubles: Any) -> None:
    transport = doubles.StringTransport()
    producer = doubles.NonStreamingProducer(transport)
    transport.registerProducer(producer, False)
    done = producer.result
    for _ in range(10):
        producer.resumeProducing()
    assert (transport.value(), transport.producer, done.called) == (b"0123456789", None, True)
    with pytest.raises(RuntimeError, match="BUG: resume after unregister/stop"):
        producer.resumeProducing()
    with pytest.raises(RuntimeError, match="BUG: pause should never be called"):
        producer.pauseProducing()
    other = doubles.NonStreamingProducer(transport)
    waiting = other.result
    other.stopProducing()
    assert (other.stopped, waiting.called) == (True, True)


@both
def test_lines_are_sent_at_once_or_after_the_first(doubles: Any) -> None:
    for start in (True, False):
        transport = doubles.StringTransport()
        one = doubles.LineSendingProtocol([b"a", b"b"], start)
        one.makeConnection(transport)
        assert transport.value() == (b"a\r\nb\r\n" if start else b"")
        one.dataReceived(b"x\r\ny\r\n")
        assert (transport.value(), one.response) == (b"a\r\nb\r\n", [b"x" if start else b"b", b"y"])
        one.connectionLost(REASON)
        assert one.lostConn


@both
def test_waiting_until_all_are_disconnected(doubles: Any) -> None:
    clock, one = task.Clock(), doubles.AccumulatingProtocol()
    transport = doubles.StringTransportWithDisconnection()
    transport.protocol = one
    one.makeConnection(transport)
    waiting = doubles.waitUntilAllDisconnected(clock, [one])
    clock.advance(0.01)
    assert not waiting.called
    transport.loseConnection()
    clock.advance(0.01)
    assert waiting.called


@both
def test_events_of_a_log_are_kept(doubles: Any) -> None:
    from twisted.logger import Logger, LogPublisher
    from twisted.trial.unittest import SynchronousTestCase

    case, publisher = SynchronousTestCase(), LogPublisher()
    seen = doubles.EventLoggingObserver.createWithCleanup(case, publisher)
    Logger(observer=publisher).info("one")
    case.doCleanups()
    Logger(observer=publisher).info("two")
    assert [event["log_format"] for event in seen] == ["one"]
    assert (len(seen), seen[0]["log_format"], len(seen[:1])) == (1, "one", 1)


def test_every_public_name_of_twisteds_module_is_here() -> None:
    assert [name for name in testing.__all__ if not hasattr(tx, name)] == []
    buffer = tx.StringIOWithoutClosing(b"a")
    buffer.close()
    assert buffer.read() == b"a"


# ---- strict


class Producer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@pytest.mark.parametrize("call", ["loseConnection", "abortConnection"])
@pytest.mark.parametrize("write", ["write", "writeSequence"])
def test_strict_writing_after_the_loss_is_a_violation_with_the_log(call: str, write: str) -> None:
    transport = tx.StringTransport(strict=True)
    transport.write(b"a")
    transport.clear()
    getattr(transport, call)()
    assert (transport.connected, transport.disconnected) == (False, True)
    with pytest.raises(ContractViolation) as caught:
        getattr(transport, write)(b"x" if write == "write" else [b"x"])
    assert caught.value.rule == "write-after-lost"
    assert [entry.call for entry in caught.value.history] == ["write", call, write]
    assert "write 1 bytes: b'a'" in str(caught.value)


def test_strict_what_is_written_while_something_waits_is_still_sent() -> None:
    transport = tx.StringTransport(strict=True)
    transport.write(b"a")
    transport.loseConnection()
    transport.write(b"b")
    assert transport.value() == b"ab"
    transport.flush()
    assert transport.disconnected
    with pytest.raises(ContractViolation):
        transport.write(b"c")


def test_1_10_strict_a_streaming_producer_is_paused_at_each_write_over_the_limit() -> None:
    transport, producer = tx.StringTransport(strict=True), Producer()
    transport.registerProducer(producer, True)
    transport.write(b"x" * 65536)
    assert producer.calls == []
    transport.write(b"x")
    transport.write(b"x")
    assert producer.calls == ["pause", "pause"]
    transport.clear()
    assert producer.calls == ["pause", "pause", "resume"]
    transport.clear()
    assert producer.calls == ["pause", "pause", "resume"]


def test_1_10_strict_a_pull_producer_is_resumed_when_nothing_waits() -> None:
    transport = tx.StringTransport(strict=True)
    transport.registerProducer(tx.NonStreamingProducer(transport), False)
    for _ in range(9):
        transport.flush()
    assert (transport.value(), transport.producer) == (b"0123456789", None)


def test_1_10_strict_a_producer_keeps_the_connection_and_is_stopped_with_it() -> None:
    transport, producer = tx.StringTransport(strict=True), Producer()
    transport.registerProducer(producer, True)
    transport.loseConnection()
    transport.write(b"x")
    transport.flush()
    assert not transport.disconnected
    transport.unregisterProducer()
    assert (transport.disconnected, producer.calls) == (True, [])
    other = tx.StringTransport(strict=True)
    other.registerProducer(producer := Producer(), True)
    other.abortConnection()
    assert producer.calls == ["stop"]
    other.registerProducer(late := Producer(), True)
    assert late.calls == ["stop"]


def test_strict_pausing_after_the_loss_does_nothing() -> None:
    transport = tx.StringTransport(strict=True)
    transport.loseConnection()
    transport.pauseProducing()
    assert transport.producerState == "producing"


@pytest.mark.parametrize(
    ("call", "reason"), [("loseConnection", error.ConnectionDone), ("abortConnection", error.ConnectionAborted)]
)
def test_strict_the_protocol_is_told_later_with_the_real_reason(call: str, reason: type[Exception]) -> None:
    transport = tx.StringTransportWithDisconnection(strict=True)
    transport.protocol = one = tx.AccumulatingProtocol()
    one.makeConnection(transport)
    getattr(transport, call)()
    assert one.closed == 0
    transport.flush()
    assert one.closedReason is not None
    assert one.closedReason.check(reason)
    one.closed = 0
    transport.flush()
    assert one.closed == 0


def test_the_log_of_a_transport_is_ordered() -> None:
    transport = tx.StringTransport()
    transport.write(b"a")
    transport.pauseProducing()
    transport.loseConnection()
    assert transport.log.calls() == ["write", "pauseProducing", "loseConnection"]


def test_a_strict_datagram_port() -> None:
    transport, one = tx.FakeDatagramTransport(strict=True), tx.AccumulatingDatagramProtocol()
    transport.listen(one)
    assert one.made == 1
    with pytest.raises(TypeError):
        transport.write("text", ("10.0.0.1", 1))
    with pytest.raises(ValueError, match="no address"):
        transport.write(b"a")
    with pytest.raises(error.MessageLengthError):
        transport.write(b"a" * 65508, ("10.0.0.1", 1))
    transport.connect("10.0.0.1", 1)
    with pytest.raises(RuntimeError, match="already connected"):
        transport.connect("10.0.0.1", 1)
    transport.write(b"")
    transport.deliver(b"b", ("10.0.0.1", 1))
    one.closedDeferred = waiting = Deferred()
    assert transport.stopListening().called
    assert (one.closed, waiting.called, one.received, one.data) == (1, True, [(b"b", ("10.0.0.1", 1))], b"b")
    with pytest.raises(ContractViolation):
        transport.write(b"late")


# ---- 1.12 processes


def test_1_12_callbacks_of_a_process_in_order() -> None:
    class Process(tx.AccumulatingProcessProtocol):
        def outReceived(self, data: bytes) -> None:
            self.calls.append(f"out {data!r}")

        def errReceived(self, data: bytes) -> None:
            self.calls.append(f"err {data!r}")

        def inConnectionLost(self) -> None:
            self.calls.append("in lost")

    one = Process()
    transport = tx.FakeProcessTransport(one, childFDs={0: "w", 1: "r", 2: "r", 3: "r"})
    assert one.transport is transport
    transport.say(1, b"o")
    transport.say(2, b"e")
    transport.say(3, b"x")
    one.endedDeferred, one.exitedDeferred = ended, exited = Deferred(), Deferred()
    transport.exit(0)
    assert (ended.called, exited.called) == (True, True)
    assert one.calls == [
        "connectionMade",
        "childDataReceived", "out b'o'",
        "childDataReceived", "err b'e'",
        "childDataReceived",
        "processExited",
        "childConnectionLost", "in lost", "childConnectionLost", "childConnectionLost", "childConnectionLost",
        "processEnded",
    ]  # fmt: skip
    assert (one.outData, one.errData, one.data[3], one.closedFDs) == (b"o", b"e", b"x", [0, 1, 2, 3])
    assert one.endedReason is one.exitedReason
    assert one.endedReason is not None
    assert one.endedReason.check(error.ProcessDone)


def test_1_12_a_grandchild_that_keeps_the_output_delays_the_end() -> None:
    one = tx.AccumulatingProcessProtocol()
    transport = tx.FakeProcessTransport(one)
    transport.exit(3, keep_open=True)
    assert (one.exited, one.ended) == (1, 0)
    transport.say(1, b"late")
    for descriptor in (0, 1, 2, 2):
        transport.close(descriptor)
    assert (one.ended, one.closedFDs, one.outData) == (1, [0, 1, 2], b"late")
    assert one.endedReason is not None
    ended: Any = one.endedReason.value
    assert (type(ended), ended.exitCode, ended.signal) == (error.ProcessTerminated, 3, None)


def test_1_12_killed_by_a_signal() -> None:
    one = tx.AccumulatingProcessProtocol()
    transport = tx.FakeProcessTransport(one)
    transport.signalProcess("KILL")
    assert transport.signals == ["KILL"]
    transport.exit(signal=9)
    with pytest.raises(error.ProcessExitedAlready):
        transport.signalProcess("KILL")
    assert one.endedReason is not None
    ended: Any = one.endedReason.value
    assert (ended.exitCode, ended.signal, ended.status, transport.pid) == (None, 9, 9, None)


def test_1_12_errors_of_the_protocol_do_not_stop_the_end() -> None:
    class Bad(tx.AccumulatingProcessProtocol):
        def childConnectionLost(self, childFD: int) -> None:
            super().childConnectionLost(childFD)
            raise ZeroDivisionError

    from twisted.python import log

    seen: list[Any] = []
    log.addObserver(seen.append)
    try:
        one = Bad()
        tx.FakeProcessTransport(one).exit()
    finally:
        log.removeObserver(seen.append)
    assert one.ended == 1
    assert [event["failure"].type for event in seen if event["isError"]] == [ZeroDivisionError] * 3


def test_1_12_writing_to_a_process() -> None:
    one = tx.AccumulatingProcessProtocol()
    transport = tx.FakeProcessTransport(one)
    transport.write(b"a")
    transport.writeSequence([b"b", b"c"])
    assert transport.written == {0: b"abc"}
    transport.closeStdin()
    transport.write(b"dropped")
    with pytest.raises(KeyError):
        transport.writeToChild(0, b"x")
    transport.loseConnection()
    assert (one.closedFDs, one.ended) == ([0, 1, 2], 0)
    with pytest.raises(UsageError, match="nothing can come from descriptor 1"):
        transport.say(1, b"x")
    transport.exit(0)
    assert one.ended == 1
    with pytest.raises(UsageError, match="exited already"):
        transport.exit(0)
    strict = tx.FakeProcessTransport(tx.AccumulatingProcessProtocol(), strict=True)
    strict.closeStdin()
    with pytest.raises(ContractViolation):
        strict.write(b"x")
    assert verifyObject(interfaces.IProcessTransport, strict)
