"""Sans-I/O libraries under check: h11, h2 and wsproto pass; the adapter sees what goes wrong."""

import h11
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from wavetank.check import CheckFailed, SansIO, check_protocol, play

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
