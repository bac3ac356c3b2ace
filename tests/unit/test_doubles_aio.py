"""The doubles of asyncio's dialect: transports that remember, protocols that collect, datagrams, processes, streams."""

import asyncio
import signal
from typing import Any

import pytest

from wavetank.doubles import aio
from wavetank.errors import ContractViolation, UsageError

# ---- StringTransport


def test_a_string_transport_remembers_what_was_written() -> None:
    transport = aio.StringTransport()
    assert isinstance(transport, asyncio.Transport)
    transport.write(b"a")
    transport.write(bytearray(b"b"))
    transport.writelines([b"c", memoryview(b"d")])
    transport.write(memoryview(b"efgh").cast("I"))
    assert (transport.value(), transport.get_write_buffer_size()) == (b"abcdefgh", 8)
    transport.clear()
    assert (transport.value(), transport.get_write_buffer_size()) == (b"", 0)


def test_a_written_bytearray_may_change_afterwards() -> None:
    transport, data = aio.StringTransport(), bytearray(b"abc")
    transport.write(data)
    data[:] = b"---"
    assert transport.value() == b"abc"


@pytest.mark.parametrize("data", ["", None, 0, []])
def test_what_is_not_bytes_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="data argument must be a bytes-like object"):
        aio.StringTransport().write(data)


def test_addresses_and_other_information() -> None:
    transport = aio.StringTransport()
    assert transport.get_extra_info("sockname") == ("10.0.0.1", 12345)
    assert transport.get_extra_info("peername") == ("192.168.1.1", 54321)
    assert transport.get_extra_info("cipher", "none") == "none"
    transport = aio.StringTransport(sockname="/a", peername="/b", extra={"cipher": "x"})
    assert [transport.get_extra_info(name) for name in ("sockname", "peername", "cipher")] == ["/a", "/b", "x"]


def test_watermarks_are_real() -> None:
    protocol = aio.AccumulatingProtocol()
    transport = aio.StringTransport(protocol, watermarks=(2, 4))
    transport.write(b"1234")
    assert not protocol.paused
    transport.write(b"5")
    transport.write(b"6")
    assert protocol.calls == ["pause_writing"]
    transport.clear()
    assert protocol.calls == ["pause_writing", "resume_writing"]
    transport.set_write_buffer_limits(high=0)
    assert transport.get_write_buffer_limits() == (0, 0)
    transport.write(b"1")
    assert protocol.paused
    with pytest.raises(ValueError, match="must be >= low"):
        transport.set_write_buffer_limits(high=1, low=2)
    assert aio.StringTransport().get_write_buffer_limits() == (16384, 65536)


def test_half_close_and_close() -> None:
    transport = aio.StringTransport()
    assert transport.can_write_eof()
    transport.write_eof()
    transport.write_eof()
    assert transport.eof_written
    with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
        transport.write(b"")
    transport = aio.StringTransport()
    transport.write(b"1")
    transport.close()
    transport.write(b"2")
    assert (transport.is_closing(), transport.value()) == (True, b"12")
    transport.flush()
    transport.write(b"3")
    assert (transport.value(), transport.dropped) == (b"12", 1)
    transport = aio.StringTransport()
    transport.write(b"1")
    transport.abort()
    transport.write(b"2")
    assert (transport.aborted, transport.closed, transport.value()) == (True, True, b"1")
    transport.write_eof()
    assert not transport.eof_written


def test_reading_side() -> None:
    protocol = aio.AccumulatingProtocol()
    transport = aio.StringTransport(protocol)
    transport.feed_data(b"1")
    transport.pause_reading()
    assert not transport.is_reading()
    transport.feed_data(b"2")
    transport.feed_eof()
    assert (protocol.data, protocol.eof) == (b"1", False)
    transport.resume_reading()
    assert (protocol.chunks, protocol.eof, transport.is_closing()) == ([b"1", b"2"], True, True)
    transport.feed_data(b"3")
    assert protocol.data == b"12"
    open_one = aio.AccumulatingProtocol(stay_open=True)
    transport = aio.StringTransport(open_one)
    transport.feed_eof()
    assert not transport.is_closing()
    with pytest.raises(UsageError, match="there is no protocol to be fed"):
        aio.StringTransport().feed_data(b"1")


def test_a_buffered_protocol_is_filled() -> None:
    class Filled(asyncio.BufferedProtocol):
        room = bytearray(2)
        got = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.room

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(self.room[:nbytes])

    protocol = Filled()
    aio.StringTransport(protocol).feed_data(b"12345")
    assert protocol.got == b"12345"


@pytest.mark.parametrize(
    ("before", "rule"),
    [("close", "write-after-close"), ("abort", "write-after-close"), ("write_eof", "write-after-eof")],
)
def test_strict_writing_after_the_end_is_a_violation_with_the_log(before: str, rule: str) -> None:
    transport = aio.StringTransport(strict=True)
    transport.write(b"ok")
    getattr(transport, before)()
    with pytest.raises(ContractViolation) as caught:
        transport.write(b"late")
    assert caught.value.rule == rule
    assert [entry.call for entry in caught.value.history] == ["write", before, "write"]


@pytest.mark.parametrize("call", ["close", "abort"])
def test_with_disconnection_the_protocol_is_told_once(call: str) -> None:
    protocol = aio.AccumulatingProtocol()
    transport = aio.StringTransportWithDisconnection()
    transport.protocol = protocol
    protocol.connection_made(transport)
    getattr(transport, call)()
    getattr(transport, call)()
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert (protocol.closed, protocol.closed_reason) == (1, None)
    with pytest.raises(UsageError, match="there is no protocol to be told"):
        aio.StringTransportWithDisconnection().close()


def test_with_disconnection_strict_tells_it_later() -> None:
    protocol = aio.AccumulatingProtocol()
    transport = aio.StringTransportWithDisconnection(protocol, strict=True)
    transport.close()
    assert protocol.closed == 0
    transport.flush()
    transport.flush()
    assert protocol.calls == ["connection_lost"]

    async def main() -> int:
        protocol = aio.AccumulatingProtocol()
        aio.StringTransportWithDisconnection(protocol, strict=True).close()
        assert protocol.closed == 0
        await protocol.disconnected
        return protocol.closed

    assert asyncio.run(main()) == 1


# ---- AccumulatingProtocol


def test_connected_and_disconnected_can_be_awaited_before_and_after() -> None:
    async def main() -> None:
        a, b = aio.AccumulatingProtocol(), aio.AccumulatingProtocol()
        early = [asyncio.ensure_future(wait(each)) for each in (a.connected, a.disconnected, a.disconnected)]
        await asyncio.sleep(0)
        connection = aio.connect(a, b)
        assert await a.connected is connection.a
        assert await asyncio.wait_for(early[0], 1) is connection.a
        b.transport.abort()
        assert isinstance(await a.disconnected, ConnectionResetError)
        assert [type(await each) for each in early[1:]] == [ConnectionResetError] * 2
        assert await b.disconnected is None

    async def wait(signal: Any) -> Any:
        return await signal

    asyncio.run(main())


def test_a_waiter_that_gives_up_does_not_disturb() -> None:
    async def main() -> None:
        a = aio.AccumulatingProtocol()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(a.connected), 0.001)
        a.connection_made(aio.StringTransport(a))
        assert a.connected.done()

    async def wait(signal: Any) -> Any:
        return await signal

    asyncio.run(main())


def test_without_a_loop_they_can_be_asked() -> None:
    a = aio.AccumulatingProtocol()
    assert (a.connected.done(), bool(a.connected), a.made, repr(a.connected)) == (
        False,
        False,
        0,
        "<connected: not yet>",
    )
    with pytest.raises(UsageError, match="not yet connected"):
        a.connected.result()
    transport = aio.StringTransport(a)
    a.connection_made(transport)
    assert (a.connected.result(), a.made, a.transport) == (transport, 1, transport)
    a.connection_lost(None)
    assert (a.disconnected.result(), a.closed, repr(a.disconnected)) == (None, 1, "<disconnected: None>")


# ---- datagrams


def test_datagrams_are_remembered_and_collected() -> None:
    protocol = aio.AccumulatingDatagramProtocol()
    transport = aio.FakeDatagramTransport(protocol)
    assert isinstance(transport, asyncio.DatagramTransport)
    assert protocol.transport is transport
    transport.sendto(b"a", ("10.0.0.9", 1))
    transport.sendto(b"")
    transport.deliver(b"b", ("10.0.0.9", 2))
    transport.fail(error := ConnectionRefusedError())
    transport.close()
    transport.close()
    transport.sendto(b"late")
    transport.deliver(b"late")
    assert transport.written == [(b"a", ("10.0.0.9", 1)), (b"", None)]
    assert (protocol.received, protocol.data, protocol.errors) == ([(b"b", ("10.0.0.9", 2))], b"b", [error])
    assert protocol.calls == ["connection_made", "datagram_received", "error_received", "connection_lost"]
    assert (transport.is_closing(), transport.get_write_buffer_size()) == (True, 0)


def test_a_connected_datagram_endpoint_takes_its_own_address_only() -> None:
    transport = aio.FakeDatagramTransport(remote=("10.0.0.9", 1))
    assert transport.get_extra_info("peername") == ("10.0.0.9", 1)
    transport.sendto(b"a", ("10.0.0.9", 1))
    with pytest.raises(ValueError, match="Invalid address: must be None or"):
        transport.sendto(b"a", ("10.0.0.9", 2))
    with pytest.raises(TypeError):
        transport.sendto("text")


def test_strict_datagrams_after_the_end() -> None:
    transport = aio.FakeDatagramTransport(aio.AccumulatingDatagramProtocol(), strict=True)
    transport.abort()
    assert transport.aborted
    with pytest.raises(ContractViolation):
        transport.sendto(b"late")


def test_in_a_loop_the_datagram_protocol_is_told_later() -> None:
    async def main() -> list[str]:
        protocol = aio.AccumulatingDatagramProtocol()
        aio.FakeDatagramTransport(protocol).close()
        assert protocol.closed == 0
        await protocol.disconnected
        return protocol.calls

    assert asyncio.run(main()) == ["connection_made", "connection_lost"]


# ---- processes


def pipe(transport: Any, fd: int) -> Any:
    return transport.get_pipe_transport(fd)


def test_callbacks_of_a_process_in_order() -> None:
    protocol = aio.AccumulatingSubprocessProtocol()
    transport = aio.FakeSubprocessTransport(protocol, pid=7)
    assert isinstance(transport, asyncio.SubprocessTransport)
    assert (transport.get_pid(), transport.get_returncode(), transport.get_pipe_transport(5)) == (7, None, None)
    pipe(transport, 0).write(b"in")
    assert (transport.written, pipe(transport, 0).get_write_buffer_size()) == (b"in", 2)
    transport.say(1, b"out")
    transport.say(2, b"err")
    transport.exit(3)
    assert (protocol.out, protocol.err, protocol.data) == (b"out", b"err", {1: b"out", 2: b"err"})
    assert protocol.calls == [
        "connection_made", "pipe_data_received", "pipe_data_received", "process_exited",
        "pipe_connection_lost", "pipe_connection_lost", "pipe_connection_lost", "connection_lost",
    ]  # fmt: skip
    assert protocol.closed_fds == [(0, None), (1, None), (2, None)]
    assert (protocol.exited.result(), transport.get_returncode()) == (3, 3)
    for call in (transport.kill, transport.terminate):
        with pytest.raises(ProcessLookupError):
            call()
    with pytest.raises(UsageError, match="exited already"):
        transport.exit()


def test_a_grandchild_that_keeps_the_output_delays_the_end() -> None:
    protocol = aio.AccumulatingSubprocessProtocol()
    transport = aio.FakeSubprocessTransport(protocol)
    transport.exit(-9, keep_open=True)
    assert (bool(protocol.exited), protocol.closed) == (True, 0)
    transport.say(1, b"late")
    for fd in (2, 1, 0, 0):
        transport.close_pipe(fd)
    assert (protocol.closed, protocol.out, [fd for fd, _ in protocol.closed_fds]) == (1, b"late", [2, 1, 0])


def test_signals_and_close() -> None:
    protocol = aio.AccumulatingSubprocessProtocol()
    transport = aio.FakeSubprocessTransport(protocol)
    transport.terminate()
    transport.send_signal(signal.SIGHUP)
    transport.close()
    transport.close()
    assert transport.signals == [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
    assert (transport.is_closing(), protocol.closed) == (True, 0)
    transport.exit(-9)
    assert protocol.closed == 1


def test_pipes_of_a_process() -> None:
    protocol = aio.AccumulatingSubprocessProtocol()
    transport = aio.FakeSubprocessTransport(protocol)
    stdin, stdout = pipe(transport, 0), pipe(transport, 1)
    stdin.set_write_buffer_limits(high=2)
    assert stdin.get_write_buffer_limits() == (0, 2)
    stdin.writelines([b"1", b"23"])
    assert protocol.paused
    assert transport.read() == b"123"
    assert not protocol.paused
    stdout.pause_reading()
    transport.say(1, b"out")
    assert (protocol.out, stdout.is_reading()) == (b"", False)
    stdout.resume_reading()
    assert (protocol.out, stdout.is_reading()) == (b"out", True)
    stdout.close()
    assert stdout.is_closing()
    with pytest.raises(UsageError, match="nothing can come from descriptor 1"):
        transport.say(1, b"x")
    assert stdin.can_write_eof()
    stdin.write_eof()
    stdin.write(b"dropped")
    assert (stdin.is_closing(), transport.written, protocol.closed_fds) == (True, b"", [(1, None), (0, None)])
    strict = aio.FakeSubprocessTransport(aio.AccumulatingSubprocessProtocol(), strict=True)
    pipe(strict, 0).close()
    with pytest.raises(ContractViolation):
        pipe(strict, 0).write(b"x")


def test_the_exit_of_a_process_can_be_awaited() -> None:
    async def main() -> int | None:
        protocol = aio.AccumulatingProcessProtocol()
        transport = aio.FakeProcessTransport(protocol)
        asyncio.get_running_loop().call_soon(transport.exit, 5)
        code = await protocol.exited
        assert await protocol.disconnected is None
        return code

    assert asyncio.run(main()) == 5


# ---- streams


def test_a_pair_of_streams() -> None:
    async def main() -> list[bytes]:
        (reader, writer), (other_reader, other_writer), connection = aio.stream_pair(chunks="one byte", limit=100)
        writer.write(b"hello\nworld\n")
        got = [await other_reader.readline(), await other_reader.readline()]
        other_writer.write(b"bye")
        other_writer.write_eof()
        got.append(await reader.read())
        writer.close()
        await writer.wait_closed()
        other_writer.close()
        await other_writer.wait_closed()
        assert connection.closed
        return got

    assert asyncio.run(main()) == [b"hello\n", b"world\n", b"bye"]


def test_a_stream_writer_waits_for_a_reader_that_is_full() -> None:
    async def main() -> int:
        (_, writer), (other_reader, other_writer), _ = aio.stream_pair(limit=10, watermarks=10)
        writer.write(b"x" * 1000)
        draining = asyncio.ensure_future(writer.drain())
        for _ in range(10):
            await asyncio.sleep(0)
        writer.write(b"x" * 1000)
        second = asyncio.ensure_future(writer.drain())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not second.done()
        got = len(await other_reader.readexactly(2000))
        await asyncio.gather(draining, second)
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()
        return got

    assert asyncio.run(main()) == 2000


def test_streams_want_a_loop() -> None:
    with pytest.raises(UsageError, match="outside of an event loop"):
        aio.stream_pair()
