"""aioquic: QUIC streams and HTTP/3 requests over UDP, certificates checked; a page that is missing, nobody there."""

import asyncio
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

LIBRARIES = ("aioquic",)
OPAQUE = "keys come from the OpenSSL inside the `cryptography` package"
DATA = bytes(range(256)) * 600
# Signatures by its key are all of one size, those of P-256 are not: so the sizes and times of all packets repeat.
CERTIFICATE = Path(__file__).parents[1] / "ed25519.pem"


class Http(QuicConnectionProtocol):
    """Both sides: the server reverses what it gets, the client collects what it asked for."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.http = H3Connection(self._quic)
        self.received, self.waiting = {}, {}

    def quic_event_received(self, event):
        for part in self.http.handle_event(event):
            headers, body = self.received.setdefault(part.stream_id, ({}, bytearray()))
            if isinstance(part, HeadersReceived):
                headers.update(part.headers)
            elif isinstance(part, DataReceived):
                body += part.data
            if part.stream_ended and self._quic.configuration.is_client:
                self.waiting[part.stream_id].set_result((headers[b":status"], bytes(body)))
            elif part.stream_ended:
                self.send(part.stream_id, {":status": "200" if headers[b":path"] == b"/" else "404"}, body[::-1])

    def send(self, stream, headers, body):
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in headers.items()])
        self.http.send_data(stream, bytes(body), end_stream=True)
        self.transmit()

    def post(self, path, body):
        stream = self._quic.get_next_available_stream_id()
        self.waiting[stream] = asyncio.get_running_loop().create_future()
        self.send(stream, {":method": "POST", ":scheme": "https", ":authority": "server", ":path": path}, body)
        return self.waiting[stream]


async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()


def configuration(**options):
    made = QuicConfiguration(**options)
    if made.is_client:
        made.load_verify_locations(CERTIFICATE)
    else:
        made.load_cert_chain(CERTIFICATE)
    return made


async def run_server(http_port, stream_port):
    tasks = set()

    def start(reader, writer):
        tasks.add(asyncio.create_task(echo(reader, writer)))

    web = await serve(
        "::", http_port, configuration=configuration(is_client=False, alpn_protocols=H3_ALPN), create_protocol=Http
    )
    raw = await serve("::", stream_port, configuration=configuration(is_client=False), stream_handler=start)
    await asyncio.sleep(100)
    web.close()
    raw.close()


async def run_client(host, http_port, stream_port):
    async with connect(host, stream_port, configuration=configuration(is_client=True)) as connection:
        reader, writer = await connection.create_stream()
        writer.write(DATA)
        writer.write_eof()
        assert await reader.read() == DATA
    made = configuration(is_client=True, alpn_protocols=H3_ALPN)
    async with connect(host, http_port, configuration=made, create_protocol=Http) as connection:
        answers = await asyncio.gather(*(connection.post("/", DATA) for _ in range(3)))
        assert answers == [(b"200", DATA[::-1])] * 3
        missing, _ = await connection.post("/missing", b"")
    made = configuration(is_client=True, idle_timeout=3)
    try:
        async with connect(host, stream_port + 1, configuration=made):
            pass
    except ConnectionError:
        return missing


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(run_server, 443, 4433)
    world.sleep(0.1)
    assert client.run(run_client, "server", 443, 4433).result(timeout=60) == b"404"
