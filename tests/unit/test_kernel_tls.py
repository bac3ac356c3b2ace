"""What TLS over simulated sockets promises beyond being the same as on Linux (that is `tests/parity/test_tls.py`)."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Files, write
from tests.unit.kernel_harness import simulated

FACES = ("time", "threads", "entropy", "openssl", "signals", "descriptors", "readiness", "socket", "buffered", "names")


def run(body: Any, *args: Any, **options: Any) -> Any:
    return simulated(body, *args, faces=(*FACES, "tls"), **options)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write(tmp_path)


def test_only_the_record_at_hand_is_taken_from_the_socket(files: Files) -> None:
    def body(files):
        from tests.support.tls_pair import time, tls_pair

        one, two = tls_pair(files)
        file = core.K.fds[one.fileno()]
        kind, asked = type(file), []
        receive = kind.receive
        kind.receive = lambda self, size, flags: (self is file and asked.append(size)) or receive(self, size, flags)
        for size in (1, 100, 16_384, 20_000):
            two.sendall(bytes(size))
        time.sleep(1)
        while file.readable_bytes():
            one.recv(50_000)
        one.close()
        two.close()
        return asked

    asked = run(body, files)
    overhead = 17  # RFC 8446 section 5.2: the inner type, and the tag of AES-GCM
    tickets, data = asked[:4], asked[4:]
    assert tickets[::2] == [5, 5]
    bodies = [size + overhead for size in (1, 100, 16_384, 16_384, 20_000 - 16_384)]
    assert data == [size for body in bodies for size in (5, body)]


def test_a_record_that_found_no_room_is_sent_once(files: Files) -> None:
    def body(files):
        from tests.support.tls_pair import outcome, socket, ssl, time, tls_pair

        one, two = tls_pair(files)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        one.setblocking(False)
        data = bytes(range(256)) * 8192
        two.setblocking(False)
        sent, tries, got = 0, 0, b""
        while len(got) < len(data):
            if not sent:
                try:
                    sent = one.send(data)
                except ssl.SSLWantWriteError:
                    tries += 1
                    # In between the same connection is read, which must not disturb what is kept.
                    assert outcome(one.recv, 1)[0] == "SSLWantReadError"
            try:
                got += two.recv(3000)
            except ssl.SSLWantReadError:
                time.sleep(0.01)
        rest = outcome(two.recv, 1)[0]
        one.close()
        two.close()
        return sent == len(data), got == data, tries > 50, rest

    assert run(body, files) == (True, True, True, "SSLWantReadError")


def test_threads_that_write_at_once_follow_each_other(files: Files) -> None:
    def body(files):
        from tests.support.tls_pair import both, outcome, socket, threading, time, tls_pair

        one, two = tls_pair(files)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)

        def reading():
            time.sleep(1)
            got = b""
            while len(got) < 1_200_000:
                got += two.recv(100_000)
            return got == b"a" * 400_000 + b"b" * 400_000 + b"c" * 400_000

        def writing(letter):
            return lambda: one.sendall(letter * 400_000)

        read = both(writing(b"a"), writing(b"b"), writing(b"c"), reading)
        blocked = threading.Thread(target=outcome, args=(one.sendall, bytes(10_000_000)))
        blocked.start()
        time.sleep(1)
        one.settimeout(3)
        before = time.monotonic()
        late = outcome(one.send, b"late")[:2], round(time.monotonic() - before)
        one.settimeout(0)
        never = outcome(one.send, b"never")[0]
        two.close()
        blocked.join()
        one.close()
        return read, late, never

    read, late, never = run(body, files)
    assert read == [None, None, None, True]
    assert late == (("TimeoutError", "The write operation timed out"), 3)
    assert never == "SSLWantWriteError"


@pytest.mark.parametrize("mode", ["blocking", "timed", "polling"])
def test_a_flight_larger_than_the_send_buffer_arrives(files: Files, mode: str) -> None:
    def body(files, mode):
        import select

        from tests.support.tls_pair import both, client_context, server_context, socket, ssl, time

        wants = []
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for sock in (client, server):
            sock.settimeout({"blocking": None, "timed": 5, "polling": 0}[mode])

        def shake(sock):
            while True:
                try:
                    return sock.do_handshake()
                except ssl.SSLWantReadError:
                    wants.append("read")
                    time.sleep(1)  # the other one fills what there is
                    select.select([sock], [], [])
                except ssl.SSLWantWriteError:
                    wants.append("write")
                    select.select([], [sock], [])

        one = client_context(files).wrap_socket(client, server_hostname="localhost", do_handshake_on_connect=False)
        two = server_context(files).wrap_socket(server, server_side=True, do_handshake_on_connect=False)
        outcomes = both(lambda: shake(one), lambda: shake(two))
        version = one.version()
        one.close()
        two.close()
        return outcomes, version, sorted(set(wants))

    # A chain of thirty certificates is a flight of about 14 KB.
    Path(files.server).write_text(Path(files.server).read_text() + Path(files.authority).read_text() * 30)
    wants = ["read", "write"] if mode == "polling" else []
    assert run(body, files, mode) == ([None, None], "TLSv1.3", wants)


def test_a_connection_that_failed_stays_failed_whatever_errno_says(files: Files) -> None:
    def body(files):
        import os

        from tests.support.tls_pair import client_context, outcome, tcp_pair

        client, server = tcp_pair()
        server.sendall(b"this is no TLS at all")
        sock = client_context(files).wrap_socket(client, server_hostname="localhost", do_handshake_on_connect=False)
        first = outcome(sock.do_handshake)[0]
        again = []
        for call in (sock.do_handshake, sock.recv, lambda: sock.send(b"x")):
            outcome(os.stat, "/no/such/file")
            again.append(outcome(call))
        sock.close()
        server.close()
        return first, again

    first, again = run(body, files)
    assert first == "SSLError"
    assert again[1] == b""  # a ragged end, suppressed
    assert [again[0][0], again[2][0]] == ["SSLEOFError"] * 2


def test_a_dropped_connection_goes_at_once_and_polls_leave_no_garbage(files: Files) -> None:
    def body(files):
        import contextlib
        import gc
        import warnings
        import weakref

        from tests.support.tls_pair import outcome, ssl, tls_pair

        one, two = tls_pair(files)
        one.setblocking(False)
        gc.collect()
        gc.disable()
        for _ in range(100):
            with contextlib.suppress(ssl.SSLWantReadError):
                one.recv(1)
        garbage = gc.collect()
        held = one._sslobj
        gone = weakref.ref(one)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del one
        said = outcome(held.read, 1)[:3]
        end = two.recv(1)
        two.close()
        return garbage, gone() is None, said, end

    text = "Underlying socket connection gone"
    assert run(body, files) == (0, True, ("SSLError", text, (9, text)), b"")


def test_the_same_seed_gives_the_same_secrets(files: Files) -> None:
    def body(files):
        import tempfile

        from tests.support.tls_pair import client_context, tls_pair

        with tempfile.NamedTemporaryFile() as log:
            context = client_context(files)
            context.keylog_filename = log.name
            for sock in tls_pair(files, client=context):
                sock.close()
            return log.read()

    first, again, other = (run(body, files, seed=seed) for seed in (1, 1, 2))
    assert len(first.splitlines()) == 6
    assert first == again
    assert first != other


def test_the_texts_of_this_python_are_learnt() -> None:
    def body():
        import ssl

        from wavetank.kernel import tls

        return tls._places, tls._timed_out, tls._failures_are_ends, ssl.SSLSocket.__module__

    places, timed_out, _, module = run(body)
    assert all(re.fullmatch(r"\(_ssl\.c:\d+\)", place) for place in places.values())
    assert len({*places.values()}) == 4
    assert re.fullmatch(r"(_ssl\.c:\d+: )?The handshake operation timed out", timed_out["do_handshake"])
    assert module == ssl.__name__
