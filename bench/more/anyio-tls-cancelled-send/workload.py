"""Log lines go to a collector over TLS; a line that takes too long is given up, and then the connection may be, too.

Invariant: the collector can read all that arrives: no connection ends with a TLS error.
"""
import os
import socket
import ssl
import sys

import anyio
from anyio.streams.tls import TLSListener, TLSStream

PEM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.pem")
wrong = []


async def collect(stream):
    async with stream:
        try:
            while True:
                await stream.receive()
                await anyio.sleep(0.01)               # a slow collector
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            if isinstance(error.__cause__, ssl.SSLError):
                wrong.append(error.__cause__)
        except ssl.SSLError as error:
            wrong.append(error)


async def main():
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(PEM)
    client_side = ssl.create_default_context(cafile=PEM)
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(plain, server_side, standard_compatible=False)
    port = plain.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, collect)
        for _ in range(3):
            plain = await anyio.connect_tcp("127.0.0.1", port)
            plain.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            stream = await TLSStream.wrap(
                plain, server_side=False, hostname="localhost", ssl_context=client_side, standard_compatible=False
            )
            try:
                for _ in range(20):
                    with anyio.move_on_after(0.02):   # one report is some lines
                        for _ in range(20):
                            await stream.send(bytes(1000))
            except anyio.BrokenResourceError:
                pass                                  # then with a new connection
            await anyio.aclose_forcefully(stream)
        await anyio.sleep(5)
        assert not wrong, f"the collector cannot read what was sent: {wrong[0]}"
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
