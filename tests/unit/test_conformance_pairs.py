"""Pairs of protocols on real loops: they end, say how, leave nothing; and what bad input gets."""

import asyncio
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor

from wavetank.conformance import ConnectableProtocol, PairHangs, run_protocols
from wavetank.errors import UsageError

#: What Twisted does with pyOpenSSL is not ours.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
LOOPS = {
    "asyncio": asyncio.new_event_loop,
    "select": SelectReactor,
    "epoll": EPollReactor,
    "twisted-asyncio": lambda: AsyncioSelectorReactor(asyncio.new_event_loop()),
}
each_loop = pytest.mark.parametrize("factory", LOOPS.values(), ids=[*LOOPS])


class Asking(ConnectableProtocol):
    answer = b""

    def made(self) -> None:
        self.wire.write(b"question")

    def received(self, data: bytes) -> None:
        self.answer += data
        if self.answer == b"answer":
            self.wire.close()


class Answering(ConnectableProtocol):
    def received(self, data: bytes) -> None:
        self.wire.write(b"answer")


@each_loop
@pytest.mark.parametrize("endpoint", ["tcp", "tls", "unix"])
def test_a_pair_ends_and_says_how(factory: Any, endpoint: str) -> None:
    happening = run_protocols(factory, Answering, Asking, endpoint)
    assert happening.client.answer == b"answer"
    assert happening.client.endings == happening.server.endings == 1
    assert happening.client.ended_at_s is not None
    assert happening.errors == []
    assert happening.left == []


@each_loop
def test_objects_stay_the_callers(factory: Any) -> None:
    client = Asking()
    happening = run_protocols(factory, Answering(), client)
    assert happening.client.protocol is client
    assert client.answer == b"answer"
    assert client.ended
    assert client.disconnectReason is client.disconnect_reason


class OwnDialect(ConnectableProtocol):
    """As a Twisted user writes it, and as an asyncio user does."""

    def connectionMade(self) -> None:
        self.transport.write(b"x")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.write(b"x")

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()

    def data_received(self, data: bytes) -> None:
        self.transport.close()


@each_loop
def test_the_callbacks_of_either_dialect_can_be_overridden(factory: Any) -> None:
    assert run_protocols(factory, OwnDialect, OwnDialect).errors == []


class Silent(ConnectableProtocol):
    pass


@each_loop
def test_a_pair_that_does_not_end_is_reported(factory: Any) -> None:
    with pytest.raises(PairHangs, match=r"did not end within 0\.05 s") as caught:
        run_protocols(factory, Silent, Silent, timeout_s=0.05)
    assert caught.value.happening.timed_out


kept: list[Any] = []


class Kept(Asking):
    def made(self) -> None:
        kept.append(self)
        super().made()


@each_loop
def test_a_reference_that_is_kept_is_found(factory: Any) -> None:
    assert run_protocols(factory, Answering, Kept).left == ["a reference to the client's protocol"]
    kept.clear()


class LeavesTimer(Asking):
    def lost(self, reason: Any) -> None:
        (self.loop.call_later if hasattr(self.loop, "call_later") else self.loop.callLater)(30, print)


@each_loop
def test_a_timer_that_is_left_is_found(factory: Any) -> None:
    (left,) = run_protocols(factory, Answering, LeavesTimer).left
    assert left.startswith("timer ")


class Failing(Asking):
    def lost(self, reason: Any) -> None:
        raise ZeroDivisionError("raised on purpose")


@each_loop
def test_an_error_that_nobody_handled_is_kept(factory: Any) -> None:
    assert [type(error) for error in run_protocols(factory, Answering, Failing).errors] == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((dict, Answering, Asking), "the factory made a dict, which is neither an asyncio loop nor a Twisted reactor"),
        ((None, Answering, Asking), "the factory of loops is a NoneType, not a function"),
        ((asyncio.new_event_loop, Answering, Asking, "tpc"), "no endpoint 'tpc'. Did you mean 'tcp'?"),
        ((lambda: pytest.fail("made"), Answering, Asking, "udp"), "no endpoint 'udp'"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(arguments: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_protocols(*arguments)
    assert text in str(caught.value)
