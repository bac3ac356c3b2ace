"""A line server; `fixed` as argument. The bug: a line is over where a read ends with LF, CR and LF are never parted."""

import asyncio
import sys

FIXED = "fixed" in sys.argv
LINES = [b"alpha", b"beta " + b"x" * 90, b"gamma", b"delta"]


class Lines(asyncio.Protocol):
    def __init__(self, seen):
        self.seen, self.rest = seen, b""

    def data_received(self, data):
        if FIXED:
            *lines, self.rest = (self.rest + data).split(b"\r\n")
            self.seen.extend(lines)
        else:
            self.rest += data.replace(b"\r\n", b"\n")  # misses the pair when it comes in two pieces
            *lines, self.rest = self.rest.split(b"\n")
            self.seen.extend(lines)


async def main():
    seen = []
    server = await asyncio.get_running_loop().create_server(lambda: Lines(seen), "127.0.0.1", 7100)
    _, writer = await asyncio.open_connection("127.0.0.1", 7100)
    for line in LINES:
        writer.write(line + b"\r\n")
        await asyncio.sleep(0.01)
    writer.close()
    await asyncio.sleep(2)
    assert seen == LINES, f"the server saw {seen}"
    server.close()


asyncio.run(main())
