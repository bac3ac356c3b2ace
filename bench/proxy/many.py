"""Many connections at once through one proxy, for a while: `many.py [COUNT] [SECONDS]`. Prints one JSON line.

Each connection sends 32 bytes of its own in each round, and must get them back. Three processes: an echo server behind,
the proxy, and this one, which is the clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contenders import CONTENDERS
from measure import cpu_s, free_port, relaying

ECHO = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
ROUND_S = 5.0


async def one(port: int, number: int, gate: asyncio.Semaphore, end: float, found: dict[str, int]) -> None:
    """One client; what went wrong is counted."""
    try:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found["opened"] += 1
        turn = 0
        while time.monotonic() < end:
            message = f"{number:>15} {turn:>15}\n".encode()
            writer.write(message)
            if await reader.readexactly(32) != message:
                found["wrong"] += 1
            found["exchanges"] += 1
            turn += 1
            await asyncio.sleep(ROUND_S * (0.5 + number % 100 / 100))
        writer.close()
        await writer.wait_closed()
    except (OSError, asyncio.IncompleteReadError):
        found["lost"] += 1


async def clients(port: int, count: int, seconds: float) -> dict[str, int]:
    """All of them; opened a hundred at a time, then held."""
    found = {"opened": 0, "exchanges": 0, "wrong": 0, "lost": 0}
    gate, end = asyncio.Semaphore(100), time.monotonic() + seconds
    running = [asyncio.ensure_future(one(port, number, gate, end, found)) for number in range(count)]
    start = time.monotonic()
    while found["opened"] + found["lost"] < count:
        await asyncio.sleep(0.05)
    found["ms to open all"] = round((time.monotonic() - start) * 1e3)
    await asyncio.gather(*running)
    return found


def main() -> None:
    """Start, hold, count."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        tempfile.TemporaryDirectory(prefix="bench-proxy-") as folder,
        subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE) as behind,
    ):
        assert behind.stdout is not None
        try:
            port, upstream = free_port(), int(behind.stdout.readline())
            command = CONTENDERS["wavetank"](port, upstream, Path(folder))
            assert command is not None
            with relaying(command, port, Path(folder)) as pid:
                found = asyncio.run(clients(port, count, seconds))
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                used = cpu_s(pid)
        finally:
            behind.kill()
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    print(json.dumps({"connections": count, "seconds": seconds, **found, "CPU s": used, "MiB": round(memory, 1)}))


if __name__ == "__main__":
    main()
