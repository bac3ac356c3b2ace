"""A client asks a web server over TLS, again and again; connections may break off at any time.

Invariant: a request gives its answer or one of the errors that httpcore documents.
"""
import pathlib
import ssl
import sys

import anyio
import httpcore
from anyio.streams.tls import TLSListener

PEM = pathlib.Path(__file__).parent.parent.parent / "corpus" / "_support_b" / "testcert.pem"


async def serve(stream):
    try:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            data = data.partition(b"\r\n\r\n")[2]
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await stream.aclose()
            except (anyio.BrokenResourceError, ssl.SSLError):
                pass


async def main():
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(PEM)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    tls = TLSListener(listener, server_context, standard_compatible=False)
    async with anyio.create_task_group() as group:
        group.start_soon(tls.serve, serve)
        for _ in range(6):
            async with httpcore.AsyncConnectionPool(ssl_context=context, network_backend=httpcore.AnyIOBackend()) as pool:
                for _ in range(2):
                    try:
                        answer = await pool.request("GET", f"https://127.0.0.1:{port}/")
                        assert answer.content == b"hello", answer.content
                    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                        pass                         # this one was lost
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
