"""pyOpenSSL's connections on simulated sockets: waiting and not, as its C library behaves on real ones."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.worlds import run_script, stdout_of

FILES = Path(__file__).parents[1] / "programs"
BEGIN = f"""
import select, socket, threading
from OpenSSL import SSL

FILES = {str(FILES)!r}
DATA = bytes(range(256)) * 1000

def contexts():
    server, client = SSL.Context(SSL.TLS_SERVER_METHOD), SSL.Context(SSL.TLS_CLIENT_METHOD)
    server.use_certificate_file(FILES + "/server.pem")
    server.use_privatekey_file(FILES + "/server.pem")
    client.load_verify_locations(FILES + "/authority.pem")
    client.set_verify(SSL.VERIFY_PEER, lambda *args: args[-1])
    return server, client

def pair():
    listener = socket.create_server(("127.0.0.1", 0))
    a = socket.create_connection(listener.getsockname())
    b, _ = listener.accept()
    server, client = contexts()
    left, right = SSL.Connection(client, a), SSL.Connection(server, b)
    left.set_connect_state()
    right.set_accept_state()
    return left, right
"""
BLOCKING = """
left, right = pair()

def answer():
    right.do_handshake()
    got = b""
    while len(got) < len(DATA):
        got += right.recv(65536)
    print("server", got == DATA, right.fileno() >= 0)
    right.sendall(got[::-1])
    print("closing", right.shutdown(), right.shutdown())
    right.sock_shutdown(socket.SHUT_WR)
    right.close()

thread = threading.Thread(target=answer)
thread.start()
left.do_handshake()
print(left.get_protocol_version_name(), left.get_peer_certificate() is not None)
left.sendall(DATA)
got, buffer = b"", bytearray(1000)
while len(got) < len(DATA):
    got += buffer[: left.recv_into(buffer)]
print("client", got == DATA[::-1])
try:
    left.recv(10)
except SSL.ZeroReturnError:
    print("end", left.shutdown())
thread.join()
try:
    left.recv(10)
except SSL.ZeroReturnError:
    print("ended")
try:
    left.bio_read(10)
except TypeError as error:
    print(error)
"""
NONBLOCKING = """
left, right = pair()
for each in (left, right):
    each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    each.setblocking(False)
sides = {left.fileno(): left, right.fileno(): right}
unsent = {left: DATA, right: DATA}
got = {left: b"", right: b""}
shaken = set()
seen = set()
wants = {left: select.POLLOUT, right: select.POLLIN}
while min(map(len, got.values())) < len(DATA):
    poll = select.poll()
    for fd, side in sides.items():
        poll.register(fd, wants[side])
    ready = poll.poll(5000)
    assert ready, "stuck"
    for fd, _ in ready:
        side = sides[fd]
        wants[side] = select.POLLIN
        try:
            if side not in shaken:
                side.do_handshake()
                shaken.add(side)
            while unsent[side]:
                unsent[side] = unsent[side][side.send(unsent[side]) :]
        except (SSL.WantReadError, SSL.WantWriteError) as error:
            seen.add(type(error).__name__)
            if isinstance(error, SSL.WantWriteError):
                wants[side] |= select.POLLOUT
        if side in shaken:
            try:
                while True:
                    got[side] += side.recv(700)
            except SSL.WantReadError:
                pass
print(got[left] == got[right] == DATA, sorted(seen))
right.close()
left.setblocking(True)
try:
    left.recv(1)
except SSL.SysCallError as error:
    print(error.args)
"""
UNTRUSTED = """
left, right = pair()
strict = SSL.Context(SSL.TLS_CLIENT_METHOD)
strict.set_verify(SSL.VERIFY_PEER, lambda *args: False)
other = SSL.Connection(strict, left._socket)
other.set_connect_state()

def answer():
    try:
        right.do_handshake()
        right.recv(1)
    except SSL.Error as error:
        print("server", error.args[0][0][-1])

thread = threading.Thread(target=answer)
thread.start()
try:
    other.do_handshake()
except SSL.Error as error:
    print("client", error.args[0][0][-1])
thread.join()
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            BLOCKING,
            [
                "TLSv1.3 True",
                "server True True",
                "client True",
                "end True",
                "closing False True",
                "ended",
                "Connection sock was not None",
            ],
        ),
        (NONBLOCKING, ["True ['WantReadError', 'WantWriteError']", "(-1, 'Unexpected EOF')"]),
        (UNTRUSTED, ["client certificate verify failed", "server tlsv1 alert unknown ca"]),
    ],
    ids=["blocking", "non-blocking", "untrusted"],
)
def test_a_conversation(tmp_path: Path, text: str, expected: list[str]) -> None:
    result = run_script(tmp_path, BEGIN + dedent(text))
    assert result.failure is None, result.failure.traceback
    assert stdout_of(result, "main/script").splitlines() == expected


def test_datagrams_are_refused_by_name(tmp_path: Path) -> None:
    text = "with socket.socket(type=socket.SOCK_DGRAM) as sock:\n    SSL.Connection(contexts()[0], sock)\n"
    result = run_script(tmp_path, BEGIN + text)
    assert result.failure is not None
    assert "OpenSSL.SSL.Connection(context, socket) is not simulated" in result.failure.error
