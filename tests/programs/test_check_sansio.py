"""Sans-I/O libraries under check: h11, h2 and wsproto pass; the adapter sees what goes wrong."""

import asyncio
from typing import Any

import h11
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from wavetank.check import CheckFailed, SansIO, check_protocol, http2, play
from wavetank.errors import UsageError

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: example\r\nAccept: */*\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: example\r\nContent-Length: 11\r\n\r\nhello=world",
    b"POST /c HTTP/1.1\r\nHost: example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\6\0\0\0\0\0pingpong" * 3


def answer(connection: h11.Connection, event: object) -> bytes | None:
    if not isinstance(event, h11.EndOfMessage):
        return None
    head = h11.Response(status_code=200, headers=[("Content-Length", "0")])
    out = connection.send(head) + connection.send(h11.EndOfMessage())
    if connection.our_state is connection.their_state is h11.DONE:
        connection.start_next_cycle()
    return out


def h11_server() -> SansIO:
    return SansIO(h11.Connection(h11.SERVER), answer)


def h2_server() -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    return connection


class Forgetful(h11.Connection):
    """Loses a line feed that comes alone."""

    def receive_data(self, data: bytes) -> None:
        if data != b"\n":
            super().receive_data(data)


class Asserts(h11.Connection):
    def receive_data(self, data: bytes) -> None:
        assert b"\xff" not in data
        super().receive_data(data)


def test_h11_passes() -> None:
    check_protocol(h11_server, REQUESTS, examples=20)
    assert play(h11_server, REQUESTS).output.count(b"HTTP/1.1 200") == 3


def test_h11_is_taken_as_it_is() -> None:
    check_protocol(lambda: h11.Connection(h11.SERVER), REQUESTS[1], examples=20)


def test_h2_passes() -> None:
    check_protocol(h2_server, PREFACE, examples=20)


def test_events_are_compared() -> None:
    with pytest.raises(CheckFailed, match="depends on how its input is cut"):
        check_protocol(lambda: Forgetful(h11.SERVER), REQUESTS[2])


def test_an_exception_that_is_no_refusal_is_found() -> None:
    with pytest.raises(CheckFailed, match="receive_data raised AssertionError"):
        check_protocol(lambda: Asserts(h11.SERVER), REQUESTS[0])


class LastFirst(asyncio.Protocol):
    """An HTTP/2 server that answers what came together in another order: legal, since streams are independent."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connection = h2_server()
        transport.write(self.connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in reversed(self.connection.receive_data(data)):
            if isinstance(event, RequestReceived):
                self.answer(event.stream_id)
        self.transport.write(self.connection.data_to_send())

    def answer(self, number: int) -> None:
        self.connection.send_headers(number, [(":status", "200"), ("x-stream", str(number))])
        self.connection.send_data(number, b"answer", end_stream=True)


class Garbling(LastFirst):
    """The same, with an answer that says how much came together."""

    def data_received(self, data: bytes) -> None:
        self.together = len(data)
        super().data_received(data)

    def answer(self, number: int) -> None:
        self.connection.send_headers(number, [(":status", "200")])
        self.connection.send_data(number, b"%d" % self.together, end_stream=True)


def http2_requests() -> list[bytes]:
    client = H2Connection()
    client.initiate_connection()
    messages = [client.data_to_send()]
    for number in (1, 3, 5):
        headers = [(":method", "GET"), (":path", f"/path{number}"), (":scheme", "https"), (":authority", "example")]
        client.send_headers(number, headers, end_stream=True)
        messages.append(client.data_to_send())
    return messages


def test_an_http2_server_may_answer_streams_in_any_order() -> None:
    check_protocol(LastFirst, http2_requests(), reads_as="http2", seconds=2)


def test_without_that_another_order_is_another_output() -> None:
    with pytest.raises(CheckFailed, match="output differs"):
        check_protocol(LastFirst, http2_requests(), seconds=2)


def test_what_a_stream_says_is_still_compared_and_the_test_that_is_printed_fails() -> None:
    with pytest.raises(CheckFailed, match="output differs") as caught:
        check_protocol(Garbling, http2_requests(), reads_as="http2", seconds=2)
    assert "('DATA', b'" in caught.value.report
    assert 'reads_as="http2"' in caught.value.test or "reads_as='http2'" in caught.value.test
    scope: dict[str, Any] = {}
    exec(compile(caught.value.test, "regression", "exec"), scope)
    with pytest.raises(AssertionError):
        next(value for name, value in scope.items() if name.startswith("test_"))()


def test_frames_are_read_stream_by_stream() -> None:
    first, second = h2_server(), h2_server()
    for connection, order in ((first, (1, 3)), (second, (3, 1))):
        connection.receive_data(b"".join(http2_requests()))
        for number in order:
            connection.send_headers(number, [(":status", "200"), ("x-stream", str(number))])
        for number in order:
            connection.send_data(number, b"ans")
            connection.send_data(number, b"wer", end_stream=True)
    one, other = (http2.read(each.data_to_send()) for each in (first, second))
    assert one == other
    assert one["stream 3"] == [("HEADERS", [(b":status", b"200"), (b"x-stream", b"3")]), ("DATA", b"answer"), ("end",)]
    assert http2.read(b"\0\0\x08\6")["rest"] == [b"\0\0\x08\6"]


@pytest.mark.parametrize(
    ("given", "text"),
    [("htp2", "Did you mean 'http2'?"), (5, "reads_as is 5"), (lambda output: 1 / 0, "reads_as raised ZeroDivision")],
)
def test_a_reading_that_is_none_is_one_clear_line(given: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_protocol(LastFirst, http2_requests(), reads_as=given)
    assert text in str(caught.value)
