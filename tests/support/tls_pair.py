"""Two ends of a TLS connection over loopback, for bodies that run on the real and on the simulated kernel.

Imported inside a body only, as it imports `socket`, `ssl` and `threading`.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.certificates import Files
from tests.unit.kernel_harness import attempt

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def server_context(files: Files, version: Any = V1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1])
    context.minimum_version = context.maximum_version = version
    return context


def client_context(files: Files) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files[0])


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """A connected client and server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def both(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls at once, each in a thread of its own; their outcomes."""
    outcomes: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        outcomes[index] = outcome(calls[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def outcome(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a call returned, or the class and text of its error."""
    try:
        value = call(*args, **options)
    except Exception as error:
        extra = [getattr(error, name, None) for name in ("errno", "library", "reason", "verify_code", "verify_message")]
        return type(error).__name__, str(error), error.args, *extra
    return value if isinstance(value, (int, str, bytes, tuple, list, dict, bool, type(None))) else type(value).__name__


def tls_pair(
    files: Files, version: Any = V1_3, *, client: Any = None, server: Any = None, **options: Any
) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Client and server after the handshake. TLS 1.3: the client has not read the session tickets yet."""
    plain_client, plain_server = tcp_pair()
    made: list[Any] = [None, None]

    def serve() -> None:
        context = server or server_context(files, version)
        made[1] = context.wrap_socket(plain_server, server_side=True, **options)

    def connect() -> None:
        context = client or client_context(files)
        made[0] = context.wrap_socket(plain_client, server_hostname="localhost", **options)

    for result in both(serve, connect):
        assert result is None, result
    return made[0], made[1]


__all__ = [
    "V1_2",
    "V1_3",
    "attempt",
    "both",
    "client_context",
    "outcome",
    "server_context",
    "socket",
    "ssl",
    "tcp_pair",
    "threading",
    "time",
    "tls_pair",
]
