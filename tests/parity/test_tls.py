"""TLS sockets on the simulated kernel against TLS sockets on this host's loopback: the same calls, the same answers.

The error texts name lines of CPython's own C code, and are compared whole.
"""

# Bodies travel as source to another interpreter: their names come from `tests.support.tls_pair`, imported there.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import write
from tests.unit.kernel_harness import real, simulated

FACES = ("time", "threads", "entropy", "openssl", "signals", "descriptors", "readiness", "socket", "buffered", "names")


def what_a_connection_tells(files: Any) -> Any:
    from tests.support.tls_pair import V1_2, V1_3, client_context, outcome, server_context, tls_pair

    told = []
    for version in (V1_2, V1_3):
        server, client = server_context(files, version), client_context(files)
        server.set_alpn_protocols(["h2", "http/1.1"])
        client.set_alpn_protocols(["http/1.1"])
        events: dict[bool, list[Any]] = {True: [], False: []}
        for context in (server, client):
            context._msg_callback = lambda sock, *event, events=events: events[sock.server_side].append(
                [str(part) for part in event[:4]] + [len(event[4])]
            )
        one, two = tls_pair(files, client=client, server=server)
        for sock in (one, two):
            told += [
                sock.version(), sock.cipher(), sock.selected_alpn_protocol(), sock.compression(), sock.pending(),
                sock.server_side, sock.server_hostname, sock.session_reused, sock.type, sock.timeout,
                len(sock.getpeercert(True) or b""), sock.getpeercert(), sock.shared_ciphers() is None,
                outcome(sock.get_channel_binding, "nonsense"), sock.context is (server if sock.server_side else client),
                type(sock.session).__name__, repr(sock).partition("fd=")[0], type(sock).__module__,
            ]  # fmt: skip
        told.append(one.get_channel_binding() == two.get_channel_binding())
        one.write(b"x")
        told += [two.read(), outcome(one.dup), outcome(one.sendmsg, [b""]), outcome(one.recvmsg, 1)]
        told += [outcome(one.recvmsg_into, [b""]), outcome(one.recvfrom, 1), outcome(one.recvfrom_into, bytearray(1))]
        told += [outcome(one.sendto, b"", ("", 1)), outcome(one.send, b"", 1), outcome(one.recv, 1, 1)]
        told += [outcome(one.verify_client_post_handshake), outcome(two.verify_client_post_handshake)]
        told += [outcome(one.connect, ("127.0.0.1", 9)), outcome(two.connect, ("127.0.0.1", 9))]
        for sock in (one, two):
            sock.close()
            told += [outcome(sock.read), outcome(sock.write, b"x"), outcome(sock.recv, 1), outcome(sock.unwrap)]
            told += [sock.version(), sock.cipher(), sock.pending(), sock.session, outcome(sock.getpeercert)]
        # The sizes of what holds a signature differ by a byte or two.
        told.append({side: [event[:4] for event in events[side]] for side in events})
    return told


def handshakes_that_fail(files: Any) -> Any:
    from tests.support.tls_pair import V1_2, V1_3, both, client_context, server_context, socket, ssl, tcp_pair

    def tried(server_of: Any, client_of: Any, name: str = "localhost") -> list[Any]:
        plain_client, plain_server = tcp_pair()

        def serve() -> Any:
            with server_of(plain_server) as sock:
                return sock.recv(100)

        def connect() -> Any:
            with client_of(plain_client) as sock:
                return sock.recv(100)

        return both(serve, connect)

    def client(context: Any, name: str = "localhost") -> Any:
        return lambda sock: context.wrap_socket(sock, server_hostname=name)

    def server(context: Any) -> Any:
        return lambda sock: context.wrap_socket(sock, server_side=True)

    def old() -> Any:
        context = client_context(files)
        context.maximum_version = V1_2
        return context

    def certificate_wanted(version: Any) -> Any:
        context = server_context(files, version)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files[0])
        return context

    def plain(sock: Any) -> Any:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return sock

    class Sends:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def __call__(self, sock: Any) -> Any:
            sock.recv(1000)
            sock.sendall(self.data)
            sock.shutdown(socket.SHUT_WR)
            return sock

    def no_name(sock: Any, name: str, context: Any) -> Any:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def broken(sock: Any, name: str, context: Any) -> Any:
        raise ValueError("from the callback")

    import sys

    sys.unraisablehook = lambda *_: None
    refusing, raising = server_context(files), server_context(files)
    refusing.sni_callback, raising.sni_callback = no_name, broken
    anonymous = client_context(files)
    return [
        tried(server(server_context(files)), client(ssl.create_default_context())),
        tried(server(server_context(files, V1_2)), client(ssl.create_default_context())),
        tried(server(server_context(files)), client(client_context(files), "other.example")),
        tried(server(server_context(files)), client(old())),
        tried(server(certificate_wanted(V1_2)), client(anonymous)),
        tried(server(certificate_wanted(V1_3)), client(anonymous)),
        tried(Sends(b""), client(client_context(files)))[1],
        tried(Sends(b"\x16\x03\x03"), client(client_context(files)))[1],
        tried(Sends(b"220 welcome to a plain server\r\n"), client(client_context(files)))[1],
        tried(Sends(b"\x15\x03\x03\x00\x02\x02\x28"), client(client_context(files)))[1],
        tried(Sends(b"\x16\x03\x03\xff\xff"), client(client_context(files)))[1],
        tried(server(server_context(files)), plain)[0],
        tried(server(refusing), client(client_context(files))),
        tried(server(raising), client(client_context(files))),
    ]


def ends_without_a_goodbye(files: Any) -> Any:
    import struct
    import time

    from tests.support.tls_pair import V1_2, V1_3, outcome, socket, tls_pair

    seen = []
    for version in (V1_2, V1_3):
        one, two = tls_pair(files, version)  # writing on, without having read that the peer is gone
        two.close()
        for _ in range(3):
            time.sleep(0.01)
            seen.append(outcome(one.send, b"still here"))
        seen += [outcome(one.recv, 1), outcome(one.do_handshake), outcome(one.unwrap)]
        one.close()
        for suppress in (True, False):
            for how in ("close", "reset", "in a record", "goodbye", "half"):
                one, two = tls_pair(files, version, suppress_ragged_eofs=suppress)
                two.sendall(b"data")
                if how == "reset":
                    seen.append(one.recv(100))
                    two.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "in a record":
                    two = socket.socket(fileno=two.detach())
                    two.sendall(b"\x17\x03\x03\x00\x40abc")
                if how == "half":
                    two.shutdown(socket.SHUT_WR)
                elif how == "goodbye":
                    two.settimeout(0)
                    outcome(two.unwrap)
                else:
                    two.close()
                time.sleep(0.01)
                seen += [(how, outcome(one.recv, 100)), outcome(one.recv, 100), outcome(one.read, 5, bytearray(5))]
                seen += [outcome(one.send, b"more"), outcome(one.recv, 1), one.pending(), one.version()]
                time.sleep(0.01)
                if how != "half":
                    seen += [outcome(one.send, b"more"), outcome(one.recv, 1), outcome(one.unwrap)]
                one.close()
                two.close()
    return seen


def unwrapping(files: Any) -> Any:
    import time

    from tests.support.tls_pair import V1_2, V1_3, both, outcome, socket, tls_pair

    seen = []
    for version in (V1_2, V1_3):
        one, two = tls_pair(files, version)
        plain = []

        def client(one: Any = one, plain: Any = plain) -> Any:
            back = one.unwrap()
            plain.append(back is one)
            back.sendall(b"in the clear")
            return back.recv(100), type(back).__name__, outcome(back.unwrap)[0], outcome(back.write, b"")

        def server(two: Any = two) -> Any:
            return two.recv(10), outcome(two.unwrap), two.recv(100), two.sendall(b"so do I")

        seen += [*both(client, server), plain]
        one.close()
        two.close()

        one, two = tls_pair(files, version)  # what follows the goodbye is left for plain reads
        two.settimeout(0)
        seen.append(outcome(two.unwrap))
        two.settimeout(None)
        raw = socket.socket(fileno=two.detach())
        raw.sendall(b"plain already")
        time.sleep(0.01)
        seen += [one.recv(100), one.recv(100), one.pending(), one.unwrap() is one, one.recv(100)]
        one.close()
        raw.close()

        one, two = tls_pair(files, version)  # nobody answers
        one.settimeout(0.1)
        seen += [outcome(one.unwrap), outcome(one.unwrap), outcome(one.send, b"x"), outcome(one.recv, 1)]
        one.settimeout(0)
        seen += [outcome(one.unwrap), two.recv(10)]
        two.sendall(b"still talking") if version is V1_3 else None
        time.sleep(0.01)
        seen += [outcome(one.unwrap), outcome(one.recv, 100)]
        two.close()
        time.sleep(0.01)
        seen += [outcome(one.unwrap), outcome(one.shutdown, socket.SHUT_RDWR), outcome(one.recv, 1)]
        one.close()
    return seen


def timeouts(files: Any) -> Any:
    from tests.support.tls_pair import V1_2, client_context, outcome, server_context, socket, tcp_pair, tls_pair

    seen = []
    plain_client, plain_server = tcp_pair()
    plain_client.settimeout(0.1)
    context = client_context(files)
    seen.append(outcome(context.wrap_socket, plain_client, server_hostname="localhost"))
    seen.append(plain_client.fileno())
    plain_server.close()

    plain_client, plain_server = tcp_pair()
    plain_client.settimeout(0.1)
    plain_server.settimeout(0.1)
    one = context.wrap_socket(plain_client, server_hostname="localhost", do_handshake_on_connect=False)
    two = server_context(files).wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False)
    seen += [outcome(two.do_handshake), outcome(one.do_handshake), outcome(one.do_handshake), outcome(one.read)]
    seen += [outcome(one.write, b"x"), outcome(one.getpeercert), one.version(), one.cipher()]
    one.close()
    two.close()

    one, two = tls_pair(files, V1_2)
    for sock in (one, two):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sock.settimeout(0.1)
    seen += [outcome(one.recv, 10), outcome(one.recv_into, bytearray(5)), outcome(one.makefile("rb").read, 5)]
    data = bytes(range(256)) * 4096 * 16
    seen.append(outcome(two.sendall, data))
    two.settimeout(0)
    seen.append(outcome(two.send, b"too short"))
    one.close()
    two.close()
    return seen


def without_waiting(files: Any) -> Any:
    import select

    from tests.support.tls_pair import V1_2, V1_3, client_context, outcome, server_context, socket, ssl, tcp_pair

    seen = []
    for version in (V1_2, V1_3):
        plain_client, plain_server = tcp_pair()
        for sock in (plain_client, plain_server):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        context = client_context(files)
        seen.append(outcome(context.wrap_socket, plain_client.dup(), server_hostname="localhost"))
        one = context.wrap_socket(plain_client, server_hostname="localhost", do_handshake_on_connect=False)
        two = server_context(files, version).wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False)
        seen += [outcome(one.do_handshake), outcome(one.do_handshake), outcome(one.recv, 1), outcome(one.send, b"x")]
        waiting = {one, two}
        while waiting:
            for sock in select.select(list(waiting), [], [], 0.001)[0] or [one]:
                try:
                    sock.do_handshake()
                    waiting.discard(sock)
                except ssl.SSLWantReadError:
                    pass
        seen += [two.version(), outcome(two.recv, 1), outcome(two.read, 0), outcome(two.read, -1)]

        data = bytes(range(251)) * 16_000
        got = bytearray()
        sent, full = 0, []
        while len(got) < len(data):
            while sent < len(data):
                try:
                    sent += one.send(memoryview(data)[sent : sent + 1_000_000])
                except ssl.SSLWantWriteError as error:
                    full.append(str(error))
                    if len(full) == 1:
                        seen += [error.args, error.errno, error.library, error.reason]
                        seen.append(select.select([], [one], [], 0)[1] == [])
                    break
            select.select([two], [], [], 5)
            try:
                while part := two.recv(65536):
                    got += part
            except ssl.SSLWantReadError:
                pass
        seen += [bytes(got) == data, set(full), len(full) > 10]
        for sock in (one, two):
            sock.close()
    return seen


def records_and_readiness(files: Any) -> Any:
    """OpenSSL reads one record at a time: what is in the next one is still in the kernel."""
    import fcntl
    import select
    import struct
    import termios
    import time

    from tests.support.tls_pair import V1_2, V1_3, outcome, socket, tls_pair

    def waiting(sock: Any) -> int:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0])

    seen = []
    for version in (V1_2, V1_3):
        one, two = tls_pair(files, version)
        two.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in (b"first record", b"second", b"z" * 40_000):
            two.sendall(data)
        time.sleep(0.05)
        for size in (5, 100, 100, 10_000, 50_000, 50_000):
            seen.append([select.select([one], [], [], 0)[0] == [one], waiting(one), one.pending(), len(one.recv(size))])
        while select.select([one], [], [], 0)[0]:
            seen.append([len(one.recv(50_000)), one.pending(), waiting(one)])
        view = bytearray(20)
        two.sendall(b"into a buffer")
        seen += [one.recv_into(view), bytes(view), outcome(two.send, b""), outcome(two.sendall, b"")]
        two.sendall(memoryview(bytes(40)).cast("I"))
        seen += [one.recv_into(view, 4), one.recv_into(memoryview(view)[3:]), one.recv(100), one.recv(0)]
        seen += [outcome(one.send, "text"), outcome(one.write, 5)]
        one.close()
        two.close()
    return seen


def connecting_and_accepting(files: Any) -> Any:
    import tempfile

    from tests.support.tls_pair import both, client_context, outcome, server_context, socket, ssl

    listener = server_context(files).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    address = listener.getsockname()
    seen: list[Any] = [outcome(listener.recv, 1), outcome(listener.do_handshake), listener.version()]
    context = client_context(files)

    def serve() -> Any:
        told = []
        for _ in range(4):
            sock, peer = listener.accept()
            with sock:
                told.append([type(sock).__name__, sock.version(), peer[0], sock.recv(100), sock.sendall(b"bye")])
        return told

    def clients() -> Any:
        told: list[Any] = []
        for handshake in (True, False):
            with context.wrap_socket(
                socket.socket(), server_hostname="localhost", do_handshake_on_connect=handshake
            ) as sock:
                told += [sock.version(), outcome(sock.recv, 1), outcome(sock.connect, address), sock.version()]
                told += [outcome(sock.connect, address), outcome(sock.write, b"hello"), sock.recv(100), sock.recv(100)]
        with context.wrap_socket(socket.socket(), server_hostname="localhost") as sock:
            told += [sock.connect_ex(address), sock.version(), sock.send(b"x"), sock.recv(100)]
        plain = socket.create_connection(address)
        with (
            context.wrap_socket(plain, server_hostname="localhost") as sock,
            tempfile.TemporaryFile() as file,
            sock.makefile("rb") as reader,
        ):
            file.write(b"a file")
            told += [sock.sendfile(file), file.seek(0), sock.sendfile(file), reader.readline(), reader.read()]
        return told

    seen += both(serve, clients)
    listener.close()
    with context.wrap_socket(socket.socket(), server_hostname="localhost") as sock:
        seen += [outcome(sock.connect, address), sock.version(), sock.connect_ex(address)]
    with socket.socket() as sock:
        seen.append(outcome(context.wrap_socket, sock, server_hostname="localhost", server_side=True))
    with socket.socket() as sock:
        seen.append(outcome(context.wrap_socket, sock))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        seen.append(outcome(context.wrap_socket, sock, server_hostname="localhost"))
    seen.append(outcome(ssl.SSLSocket))
    return seen


def files_names_sessions_and_threads(files: Any) -> Any:
    import os
    import tempfile
    from functools import partial

    from tests.support.tls_pair import (
        V1_2,
        V1_3,
        both,
        client_context,
        outcome,
        server_context,
        ssl,
        tcp_pair,
        tls_pair,
    )

    seen: list[Any] = []
    one, two = tls_pair(files)
    reader, writer, text = one.makefile("rb"), two.makefile("wb"), two.makefile("rw", newline="\n")
    writer.write(b"line one\nline two\nrest")
    writer.flush()
    seen += [reader.readline(), next(reader), reader.read(4), repr(reader).partition(" name=")[0]]
    one.sendall(b"to text\n")
    seen += [text.readline(), text.write("back\n"), text.flush(), reader.readline()]
    for file in (reader, writer, text):
        file.close()
    data = os.urandom(1000) * 500

    def reads(sock: Any) -> Any:
        parts = []
        while sum(map(len, parts)) < len(data):
            parts.append(sock.recv(100_000))
        return b"".join(parts) == data

    seen += both(lambda: reads(one), lambda: reads(two), lambda: one.sendall(data), lambda: two.sendall(data))
    one.close()
    two.close()

    for version in (V1_2, V1_3):
        server, client = server_context(files, version), client_context(files)
        with tempfile.NamedTemporaryFile() as log:
            client.keylog_filename = log.name
            one, two = tls_pair(files, client=client, server=server)
            two.sendall(b"with it come the tickets")
            one.recv(100)
            session = one.session
            plain_client, plain_server = tcp_pair()
            wrap = partial(client.wrap_socket, plain_client, server_hostname="localhost", session=session)
            accept = partial(server.wrap_socket, plain_server, server_side=True)
            seen += both(lambda wrap=wrap: wrap().session_reused, lambda accept=accept: accept().session_reused)
            seen += [session.has_ticket, session.timeout, outcome(setattr, one, "session", session)]
            seen += [outcome(setattr, one, "session", 5)]
            seen.append([line.split()[0] for line in log.read().splitlines()])
        one.close()
        two.close()

    names = []
    inner, outer = server_context(files), server_context(files)

    def named(sock: Any, name: str, context: Any) -> None:
        names.append((type(sock).__name__, sock.server_side, name, context is outer))
        sock.context = inner

    outer.sni_callback = named
    one, two = tls_pair(files, server=outer)
    seen += [names, two.context is inner]
    one.close()
    two.close()

    asking, giving = server_context(files), client_context(files)
    asking.verify_mode = ssl.CERT_OPTIONAL
    asking.load_verify_locations(files[0])
    asking.post_handshake_auth = giving.post_handshake_auth = True
    giving.load_cert_chain(files[2])
    one, two = tls_pair(files, client=giving, server=asking)
    seen += [two.getpeercert(), two.verify_client_post_handshake(), two.write(b"who?"), one.recv(10), one.write(b"me")]
    seen += [two.recv(10), two.getpeercert()["subject"], outcome(one.verify_client_post_handshake)]
    one.close()
    two.close()
    return seen


def the_standard_library_on_top(files: Any) -> Any:
    import asyncio
    import http.client
    import http.server
    import smtplib
    import urllib.request
    from pathlib import Path

    from tests.support.tls_pair import client_context, server_context, socket, ssl, threading

    seen: list[Any] = []

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[::-1])

        def log_message(self, *args: Any) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    web.socket = server_context(files).wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, args=(0.01,)).start()
    port = web.server_address[1]
    connection = http.client.HTTPSConnection("localhost", port, context=client_context(files))
    for body in (b"abc", bytes(100_000)):
        connection.request("POST", "/", body)
        seen.append(connection.getresponse().read() == body[::-1])
    connection.close()
    with urllib.request.urlopen(f"https://localhost:{port}/", b"xyz", context=client_context(files)) as answer:
        seen += [answer.read(), answer.status]
    pem = ssl.get_server_certificate(("localhost", port), ca_certs=files[0])
    seen.append(pem.strip() in Path(files[1]).read_text())
    web.shutdown()
    web.server_close()

    async def loops() -> list[Any]:
        async def echo(reader: Any, writer: Any) -> None:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context(files))
        port = server.sockets[0].getsockname()[1]

        def blocking() -> list[bytes]:
            with (
                client_context(files).wrap_socket(
                    socket.create_connection(("localhost", port)), server_hostname="localhost"
                ) as sock,
                sock.makefile("rwb") as file,
            ):
                lines = []
                for size in (1, 10, 200_000):
                    file.write(b"l" * size + b"\n")
                    file.flush()
                    lines.append(len(file.readline()))
                return lines

        told: list[Any] = [await asyncio.to_thread(blocking)]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=client_context(files))
        writer.write(b"both are loops\n")
        told.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        return told

    seen += asyncio.run(loops())

    mail = socket.create_server(("127.0.0.1", 0))

    def post_office() -> None:
        sock, _ = mail.accept()
        file = sock.makefile("rwb")

        def say(text: bytes) -> bytes:
            file.write(text)
            file.flush()
            return bytes(file.readline())

        seen.append(say(b"220 hello\r\n").split()[0])
        seen.append(say(b"250-here\r\n250 STARTTLS\r\n"))
        file.write(b"220 go\r\n")
        file.close()
        with server_context(files).wrap_socket(sock, server_side=True) as sock:
            file = sock.makefile("rwb")
            seen.append(file.readline().split()[0])
            seen.append(say(b"250 here\r\n"))
            file.write(b"221 bye\r\n")
            file.close()

    thread = threading.Thread(target=post_office)
    thread.start()
    with smtplib.SMTP("localhost", mail.getsockname()[1]) as client:
        seen += [client.starttls(context=client_context(files)), client.ehlo()[0]]
    thread.join()
    mail.close()
    return seen


BODIES: list[Callable[..., Any]] = [
    what_a_connection_tells,
    handshakes_that_fail,
    ends_without_a_goodbye,
    unwrapping,
    timeouts,
    without_waiting,
    records_and_readiness,
    connecting_and_accepting,
    files_names_sessions_and_threads,
    the_standard_library_on_top,
]


@pytest.mark.parametrize("program", BODIES, ids=lambda program: program.__name__)
def test_same_as_linux(program: Callable[..., Any], tmp_path: Path) -> None:
    files = write(tmp_path)
    assert simulated(program, files, faces=(*FACES, "tls")) == real(program, files)
