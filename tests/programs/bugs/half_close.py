"""A client that ends its side after its request, and reads on. The bug: the server takes the end for the end of all,
unless it has answered already. In a calm world the request and the end come apart."""

import asyncio
import sys

FIXED = "fixed" in sys.argv


class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.request, self.ended, self.busy = transport, b"", False, None

    def data_received(self, data):
        self.request += data
        if self.request.endswith(b"\n") and not self.busy:
            self.busy = asyncio.get_running_loop().call_later(0.02, self.answer)

    def answer(self):
        self.transport.write(self.request.upper())
        self.busy = None
        if self.ended:
            self.transport.close()

    def eof_received(self):
        self.ended = True
        return self.busy is not None if FIXED else False

    def connection_lost(self, error):
        if self.busy:
            self.busy.cancel()


async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 7109)
    for number in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", 7109)
        writer.write(b"request %d\n" % number)
        await asyncio.sleep(0.05)
        writer.write_eof()
        answer = await reader.read()
        assert answer == b"REQUEST %d\n" % number, answer
        writer.close()
    server.close()


asyncio.run(main())
