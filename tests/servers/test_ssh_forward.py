"""`SSHForward`: every pair of client, server and direction, and what must hold for each of them.

The session fails under `--require-debian`, as in CI, when one of them did not run (tests/support/ssh_pairs.py).
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.support import free_port, ours_left, wait_until
from tests.support.ssh_pairs import EXPECTED
from wavetank.errors import PortTaken, ServerDied, UsageError
from wavetank.servers import SSHForward, SSHServer
from wavetank.servers.ssh.access import Access, new_keys
from wavetank.servers.ssh.forward import KINDS

pytestmark = [
    pytest.mark.debian("openssh-client", command="ssh"),
    pytest.mark.debian("openssh-server", command="/usr/sbin/sshd"),
]
DIRECTIONS = ("local", "remote", "dynamic", "unix", "jump")
MEBIBYTE = 1 << 20


class Target:
    """A server that the forward leads to: `handle` gets each connection, in a thread."""

    def __init__(self, handle: Callable[[socket.socket], None], path: Path | None = None) -> None:
        self._listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listening.bind(str(path) if path else ("127.0.0.1", 0))
        self._listening.listen()
        name = self._listening.getsockname()
        self.address: Any = str(path) if path else name
        self._handle = handle
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._closing:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            with contextlib.suppress(ConnectionError):
                self._handle(connection)

    def __enter__(self) -> "Target":
        self._closing = False
        self._accepting.start()
        return self

    def stop_listening(self) -> None:
        """From now on, connections are refused; those that are open stay."""
        if not self._closing:
            self._closing = True
            with socket.socket(self._listening.family) as last:
                last.connect(self.address)
            self._accepting.join()
            self._listening.close()

    def __exit__(self, *_: object) -> None:
        self.stop_listening()
        for thread in self._threads:
            thread.join()


def answer(connection: socket.socket) -> None:
    """What the first byte asks for: `e` an echo, `h` an answer after the end, `b` so many MiB both ways at once."""
    asked = connection.recv(1)
    if asked == b"e":
        while data := connection.recv(65536):
            connection.sendall(data)
    elif asked == b"h":  # answers only when the client has sent its end: what half close is for
        connection.sendall(b"you said " + read_all(connection))
    elif asked == b"b":
        send_while_receiving(connection, connection.recv(1)[0])


def send_while_receiving(connection: socket.socket, mebibytes: int) -> None:
    """Sends `mebibytes` of its own while it receives; then says how much came."""
    got = []
    receiving = threading.Thread(target=lambda: got.append(len(read_all(connection))))
    receiving.start()
    for _ in range(mebibytes):
        connection.sendall(b"t" * MEBIBYTE)
    receiving.join()
    connection.sendall(f"{got[0]}".encode())


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while more := connection.recv(1 << 18):
        data += more
    return bytes(data)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, SSHServer]]:
    with contextlib.ExitStack() as stack:
        yield {kind: stack.enter_context(SSHServer(kind)) for kind in KINDS}


@contextlib.contextmanager
def forwarded(
    servers: dict[str, SSHServer], pair: tuple[str, str, str], target: Any, tmp_path: Path
) -> Iterator[tuple[SSHForward, Callable[[], socket.socket]]]:
    """The forward of a pair, and what makes a connection to the target through it."""
    client, server, direction = pair
    options: dict[str, Any] = {"client": client}
    if direction == "jump":
        options["via"] = servers["openssh" if server != "openssh" else "asyncssh"]
    if direction == "unix":
        options["listen"] = str(tmp_path / "l")
    kind = {"unix": "local", "jump": "local"}.get(direction, direction)
    wanted = None if kind == "dynamic" else target
    with SSHForward(servers[server], kind, wanted, **options) as forward:
        yield forward, lambda: forward.connect(target if kind == "dynamic" else None, timeout=60)


PAIRS = [(client, server, direction) for client in KINDS for server in KINDS for direction in DIRECTIONS]
each_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)


def target_for(pair: tuple[str, str, str], tmp_path: Path) -> Target:
    return Target(answer, tmp_path / "t" if pair[2] == "unix" else None)


def exchange_both_ways(connect: Callable[[], socket.socket], mebibytes: int) -> None:
    with connect() as connection:

        def send() -> None:
            connection.sendall(b"b" + bytes([mebibytes]))
            for _ in range(mebibytes):
                connection.sendall(b"c" * MEBIBYTE)
            connection.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        data = read_all(connection)
        sending.join()
    assert data == b"t" * (mebibytes * MEBIBYTE) + str(mebibytes * MEBIBYTE).encode()


def lost(forward: SSHForward) -> bool:
    try:
        forward.check()
    except ServerDied:
        return True
    return False


@each_pair
def test_a_pair_carries(
    servers: dict[str, SSHServer],
    pair: tuple[str, str, str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Half close, both ways at once, a refused target, echo, a killed tunnel: on one forward, as its start costs."""
    with target_for(pair, tmp_path) as target, forwarded(servers, pair, target.address, tmp_path) as (forward, connect):
        with connect() as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b"you said ello"
        exchange_both_ways(connect, 1)
        with connect() as connection:
            for word in (b"e", b"one", b"two"):
                connection.sendall(word)
                if word != b"e":
                    assert connection.recv(100) == word
            target.stop_listening()
            with contextlib.suppress(ConnectionError), connect() as refused:
                assert refused.recv(100) == b""  # an end, not a hang
            connection.sendall(b"three")
            assert connection.recv(100) == b"three"  # the tunnel itself goes on
            forward.check()
            forward.kill()
            with contextlib.suppress(ConnectionError):
                assert connection.recv(100) == b""
        wait_until(lambda: lost(forward))
    record_property("ssh-pair", "-".join(pair))


@pytest.mark.long
@each_pair
def test_sixteen_mebibytes_both_ways(servers: dict[str, SSHServer], pair: tuple[str, str, str], tmp_path: Path) -> None:
    with target_for(pair, tmp_path) as target, forwarded(servers, pair, target.address, tmp_path) as (_, connect):
        exchange_both_ways(connect, 16)


def test_every_pair_is_among_the_tests() -> None:
    """That each of them ran, `--require-debian` sees to (tests/support/ssh_pairs.py)."""
    assert len({*PAIRS}) == len(KINDS) ** 2 * len(DIRECTIONS) == EXPECTED


# Addresses, faces, errors.


def test_remote_and_local_with_paths_and_given_ports(servers: dict[str, SSHServer], tmp_path: Path) -> None:
    with Target(answer, tmp_path / "t") as target:
        for client in ("openssh", "asyncssh"):
            path = str(tmp_path / f"remote-{client}")
            with SSHForward(servers["openssh"], "remote", target.address, listen=path, client=client) as forward:
                assert forward.path == path
                exchange_both_ways(forward.connect, 1)
        port = free_port()
        with SSHForward(servers["openssh"], "local", target.address, listen=("127.0.0.1", port)) as forward:
            assert (forward.host, forward.port) == ("127.0.0.1", port)
            exchange_both_ways(forward.connect, 1)


@pytest.mark.parametrize("client", KINDS)
def test_the_face_for_asyncio(client: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        kind = "conch" if client == "openssh" else "openssh"
        async with SSHServer(kind) as server, await asyncio.start_server(serve, "127.0.0.1", 0) as target:
            where = target.sockets[0].getsockname()
            async with SSHForward(server, "local", where, client=client) as forward:
                reader, writer = await asyncio.open_connection(forward.host, forward.port)
                writer.write(b"hello\n")
                assert await reader.read() == b"hello\n"
                writer.close()
            if client == "openssh":
                with pytest.raises(UsageError, match="start\\(\\) blocks"):
                    SSHForward(server, "local", where).start()

    asyncio.run(main())


def test_an_sshd_for_another_user() -> None:
    with Target(answer) as target:
        user = "daemon" if os.geteuid() == 0 else None
        with SSHServer(user=user) as server, SSHForward(server, "local", target.address) as forward:
            assert server.access.user == (user or server.access.user)
            exchange_both_ways(forward.connect, 1)


@pytest.mark.parametrize("client", KINDS)
def test_a_key_that_is_refused_is_said_in_the_clients_words(servers: dict[str, SSHServer], client: str) -> None:
    good = servers["openssh"].access
    wrong = Access(host=good.host, port=good.port, user=good.user, keys=mixed_keys(servers["openssh"]))
    with pytest.raises(ServerDied) as caught:
        SSHForward(wrong, "local", ("127.0.0.1", 9), client=client, timeout=20).start()
    says = {"openssh": "Permission denied", "asyncssh": "PermissionDenied", "conch": "could not forward"}
    assert says[client] in str(caught.value)


def mixed_keys(server: SSHServer) -> Any:
    """The server's own host key, and a client key that it does not know."""
    keys = new_keys()
    for suffix in ("", ".pub"):
        (keys.folder / f"host{suffix}").write_bytes((server.keys.folder / f"host{suffix}").read_bytes())
    return keys


def test_a_forward_that_fails_is_no_forward(servers: dict[str, SSHServer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = taken.getsockname()
        with pytest.raises(ServerDied, match="remote port forwarding failed"):
            SSHForward(servers["openssh"], "remote", ("127.0.0.1", 9), listen=listen).start()
        with pytest.raises(PortTaken, match=f"already belongs to pid {os.getpid()}"):
            SSHForward(servers["openssh"], "local", ("127.0.0.1", 9), listen=listen).start()
    assert [each for each in ours_left() if "ssh -F" in each] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("locl", ("h", 1)), "direction='locl' is unknown. Did you mean 'local'"),
        (("local", None), "a local forward needs a target"),
        (("dynamic", ("h", 1)), "a dynamic forward has no target"),
        (("local", 80), "target=80 is neither"),
    ],
)
def test_wrong_use_is_one_clear_error(servers: dict[str, SSHServer], arguments: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SSHForward(servers["openssh"], *arguments)
    with pytest.raises(UsageError, match="client='putty' is unknown"):
        SSHForward(servers["openssh"], "local", ("h", 1), client="putty")
    with pytest.raises(UsageError, match="kind='dropbear' is unknown"):
        SSHServer("dropbear")
