"""asyncio's own TLS on joined transports."""

import asyncio
import ssl
from pathlib import Path

from tests.support import certificates
from tests.support.tls_pair import client_context, server_context
from wavetank.doubles.aio import AccumulatingProtocol, connect


class Peer(AccumulatingProtocol):
    """Stays open, and answers nothing."""


def test_tls_of_asyncio_runs_on_joined_transports(tmp_path: Path) -> None:
    files = certificates.write(tmp_path)

    async def main() -> tuple[bytes, bytes, str]:
        loop = asyncio.get_running_loop()
        client, server = Peer(), Peer()
        connection = connect(client, server, chunks="random:3")
        inside, outside = await asyncio.gather(
            loop.start_tls(connection.a, client, client_context(files), server_hostname="localhost"),
            loop.start_tls(connection.b, server, server_context(files), server_side=True),
        )
        assert isinstance(inside, asyncio.Transport)
        assert isinstance(outside, asyncio.Transport)
        inside.write(b"secret " * 10_000)
        outside.write(b"answer")
        while len(server.data) < 70_000 or not client.data:
            await asyncio.sleep(0)
        version = inside.get_extra_info("ssl_object").version()
        assert b"secret" not in b"".join(
            entry.detail for entry in connection.log if isinstance(entry.detail, bytes) and entry.call == "write"
        )
        inside.close()
        await server.disconnected
        await client.disconnected
        return client.data, server.data, version

    answer, question, version = asyncio.run(main())
    assert (answer, question) == (b"answer", b"secret " * 10_000)
    assert version == f"TLSv{ssl.TLSVersion.TLSv1_3.name[-3:].replace('_', '.')}"
