"""Does each fault do what it is asked to? `accuracy.py`: prints one JSON line, rows of fault, asked, observed, ok.

The proxy is the command, in a process of its own, and faults are switched through its control API.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contenders import WAVETANK
from measure import connect, ending, standing_behind

UP, DOWN = "client -> server", "server -> client"
Row = tuple[str, str, str, bool]


class Proxy:
    """A running `wavetank proxy` with its control API."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.port = int(ready["port"])
        self._control = ready["control"].removeprefix("http://")
        self._headers = {"Authorization": f"Bearer {ready['token']}"}

    def call(self, method: str, path: str, body: object = None) -> float:
        """One request; returns the seconds it took."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection(self._control, timeout=10)
        connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < 300, text
        return time.perf_counter() - start

    @contextlib.contextmanager
    def under(self, fault: str, **fields: Any) -> Iterator[None]:
        """While it lasts, the fault is in force."""
        self.call("POST", "/faults", {"fault": fault, **fields})
        try:
            yield
        finally:
            self.call("DELETE", "/faults")


@contextlib.contextmanager
def proxy_before(upstream: str) -> Iterator[Proxy]:
    """The command in front of `upstream`."""
    words = [WAVETANK, "proxy", upstream, "--control", "127.0.0.1:0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Proxy(json.loads(process.stdout.readline()))
        finally:
            process.terminate()


def round_trips(client: socket.socket, count: int) -> list[float]:
    """Milliseconds of each, sorted."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        client.sendall(b"p" * 32)
        size = 0
        while size < 32:
            size += len(client.recv(64))
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def echoing(proxy: Proxy) -> socket.socket:
    """A connection to the echo."""
    client = connect(proxy.port)
    client.sendall(b"E")
    round_trips(client, 20)
    return client


def getting(proxy: Proxy, size: int) -> socket.socket:
    """A connection that gets so many bytes."""
    client = connect(proxy.port)
    client.sendall(b"G" + struct.pack("<Q", size))
    return client


# ---- streams


def delays(proxy: Proxy) -> Iterator[Row]:
    """Latency and jitter."""
    with echoing(proxy) as client:
        calm = round_trips(client, 500)
        yield "none", "64 bytes and back", f"p50 {calm[250]:.3f} ms", True
        for asked in (1, 10, 50):
            with proxy.under("latency", delay_s=asked / 1e3, target=UP):
                times = round_trips(client, 60)
            seen = f"p50 {times[30]:.2f}, lowest {times[0]:.2f} ms"
            yield "latency", f"{asked} ms one way", seen, times[0] >= asked and times[30] < asked + 2
        with proxy.under("latency", delay_s=0.05, jitter_s=0.02, target=UP):
            times = round_trips(client, 60)
        seen = f"{times[0]:.1f} to {times[-2]:.1f} ms"
        yield "latency, jitter", "50 to 70 ms", seen, times[0] >= 50 and times[-2] < 75


def speeds(proxy: Proxy) -> Iterator[Row]:
    """Bandwidth, and a latency that costs none."""
    for asked in (100_000, 1_000_000, 10_000_000, 100_000_000):
        size = max(1 << 16, int(asked * 1.5))
        with proxy.under("bandwidth", bytes_per_s=asked, target=DOWN), getting(proxy, size) as client:
            start, total, first = time.perf_counter(), 0, 0.0
            while total < size:
                total += len(client.recv(1 << 16))
                first = first or time.perf_counter() - start
            speed = size / (time.perf_counter() - start)
        off = speed / asked * 100 - 100
        yield "bandwidth", f"{asked:,} B/s", f"{off:+.1f} %, first byte after {first * 1e3:.1f} ms", abs(off) < 5
    size = 64_000_000
    with proxy.under("latency", delay_s=0.05), getting(proxy, size) as client:
        start, total = time.perf_counter(), 0
        while total < size:
            total += len(client.recv(1 << 20))
        speed = size / (time.perf_counter() - start)
    yield "latency", "50 ms, 64 MB at full speed", f"{speed / 1e6:.0f} MB/s", speed > 50e6
    with proxy.under("slow-reader", bytes_per_s=10_000, target="server"), connect(proxy.port) as client:
        client.sendall(b"E")
        client.setblocking(False)
        end, taken = time.monotonic() + 3, 0
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                taken += client.send(b"x" * (1 << 16))
            time.sleep(0.01)
        before = taken
        with contextlib.suppress(BlockingIOError):
            taken += client.send(b"x" * (1 << 16))
    yield "slow-reader", "the writer has to stop", f"stopped after {taken / 2**20:.1f} MiB", before == taken


def pieces(proxy: Proxy) -> Iterator[Row]:
    """Slices of single bytes."""
    with echoing(proxy) as client, proxy.under("segments", max_bytes=1, target=DOWN):
        client.sendall(b"q" * 200)
        sizes = []
        while sum(sizes) < 200:
            sizes.append(len(client.recv(1 << 16)))
    seen = f"{len(sizes)} reads, largest {max(sizes)} B"
    yield "segments", "200 bytes, 1 B each", seen, sum(sizes) == 200 and len(sizes) > 150


def ends(proxy: Proxy) -> Iterator[Row]:
    """Resets and orderly ends, on new connections and on live ones."""
    for fault, how in (("reset", "RST"), ("eof", "EOF")):
        with proxy.under(fault, after_bytes=10_000, target=DOWN), getting(proxy, 50_000) as client:
            total, seen = counted(client)
            yield f"{fault} after", f"10,000 bytes, then {how}", f"{total:,} bytes, then {seen}", total == 10_000
    with echoing(proxy) as client:
        with proxy.under("reset", after_bytes=2_000, target=DOWN):
            client.sendall(b"x" * 5_000)
            total, seen = counted(client)
        all_of_it = total + 20 * 32
        yield "reset after, live", "2,000 bytes, then RST", f"{all_of_it:,} bytes, then {seen}", seen == "RST"
    with echoing(proxy) as client, proxy.under("reset"):
        seen = timed(client)
        yield "reset, live", "RST at once", seen, seen.startswith("RST")
    with proxy.under("reset"):
        seen = "RST while connecting"
        with contextlib.suppress(ConnectionResetError), connect(proxy.port) as client:
            seen = timed(client)
    yield "reset, next connection", "RST, client silent", seen, seen.startswith("RST")


def counted(client: socket.socket) -> tuple[int, str]:
    """How many bytes come, and what then."""
    total = 0
    try:
        while data := client.recv(1 << 16):
            total += len(data)
    except ConnectionResetError:
        return total, "RST"
    return total, "EOF"


def timed(client: socket.socket) -> str:
    """How it ends, and after which time."""
    client.settimeout(2)
    start = time.perf_counter()
    return f"{ending(client)} after {(time.perf_counter() - start) * 1e3:.1f} ms"


def silences(proxy: Proxy) -> Iterator[Row]:
    """Stall, drop, partition and refuse."""
    for fault, fields, kept in (
        ("stall", {}, True),
        ("partition", {"a": "client", "b": "server"}, True),
        ("drop", {}, False),
    ):
        with echoing(proxy) as client:
            with proxy.under(fault, **fields):
                client.sendall(b"a" * 32)
                client.settimeout(0.3)
                quiet = ending(client) == "silence"
            client.settimeout(3)
            client.sendall(b"b" * 32)
            size = 64 if kept else 32
            data = b""
            with contextlib.suppress(TimeoutError):
                while len(data) < size:
                    data += client.recv(100)
            wanted = (b"a" * 32 if kept else b"") + b"b" * 32
            text = "silence, then all of it" if kept else "silence, then only what came later"
            ok = quiet and data == wanted
            yield fault, f"{text}, same connection", text if ok else f"{quiet}, {len(data)} bytes", ok
    with echoing(proxy) as client:
        with proxy.under("refuse"):
            try:
                connect(proxy.port).close()
                seen = "accepted"
            except ConnectionRefusedError:
                seen = "ECONNREFUSED"
            alive = len(round_trips(client, 3)) == 3
        connect(proxy.port).close()
        yield "refuse", "ECONNREFUSED; open ones go on", f"{seen}; {'they do' if alive else 'lost'}", alive


def control(proxy: Proxy) -> Iterator[Row]:
    """The control API itself."""
    times = sorted(proxy.call("DELETE", "/faults") for _ in range(50))
    yield "control API", "a round trip", f"p50 {times[25] * 1e3:.1f} ms", True


# ---- datagrams


def echo_datagrams() -> socket.socket:
    """A UDP echo in a thread."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, name = server.recvfrom(1 << 16)
            server.sendto(data, name)

    threading.Thread(target=serve, daemon=True).start()
    return server


def exchange(client: socket.socket, count: int) -> list[int]:
    """Send numbered datagrams, a few at a time; the numbers that come back."""
    found = []
    for number in range(count):
        client.send(struct.pack("<I", number) + b"x" * 60)
        if number % 20 == 19 or number == count - 1:
            client.settimeout(0.15)
            with contextlib.suppress(TimeoutError):
                while True:
                    found.append(struct.unpack("<I", client.recv(100)[:4])[0])
    return found


def datagrams(proxy: Proxy) -> Iterator[Row]:
    """Loss, duplicate, reorder, truncate, refuse."""
    count = 400
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", proxy.port))
        found = exchange(client, count)
        yield "UDP, none", f"{count} and back, in order", f"{len(found)}", found == [*range(count)]
        with proxy.under("loss", rate=0.2, target=UP):
            found = exchange(client, count)
        share = 100 - len(found) * 100 / count
        yield "UDP loss", "20 %", f"{share:.1f} %", 14 < share < 26
        with proxy.under("duplicate", rate=0.2, target=UP):
            found = exchange(client, count)
        share = len(found) * 100 / count - 100
        yield "UDP duplicate", "20 %", f"{share:.1f} %", 14 < share < 26
        with proxy.under("reorder", rate=0.2, target=UP):
            found = exchange(client, count)
        late = sum(later < earlier for earlier, later in itertools.pairwise(found)) * 100 / count
        yield (
            "UDP reorder",
            "20 % overtaken, none lost",
            f"{late:.1f} %, {count - len(found)} lost",
            len(found) == count,
        )
        with proxy.under("truncate", max_bytes=10, target=DOWN):
            client.send(b"x" * 100)
            size = len(client.recv(200))
        yield "UDP truncate", "10 B", f"{size} B", size == 10
        with proxy.under("refuse"):
            client.send(b"x")
            try:
                client.recv(10)
                seen = "an answer"
            except ConnectionRefusedError:
                seen = "ECONNREFUSED"
        yield "UDP refuse", "ECONNREFUSED", seen, seen == "ECONNREFUSED"


def rows() -> Iterator[Row]:
    """All of them."""
    looks: tuple[Callable[[Proxy], Iterator[Row]], ...] = (delays, speeds, pieces, ends, silences, control)
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as folder, standing_behind(Path(folder)) as behind:
        for look in looks:
            with proxy_before(f"127.0.0.1:{behind}") as proxy:
                yield from look(proxy)
    server = echo_datagrams()
    with proxy_before(f"udp:127.0.0.1:{server.getsockname()[1]}") as proxy:
        yield from datagrams(proxy)


if __name__ == "__main__":
    found = []
    for row in rows():
        print(*row, sep=" | ", file=sys.stderr)
        found.append(row)
    print(json.dumps(found))
