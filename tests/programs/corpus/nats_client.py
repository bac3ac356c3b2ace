"""A client of nats-py connects to a NATS server, subscribes, and publishes to itself."""

from typing import Any

import nats

INFO = b'INFO {"server_id":"S","server_name":"s","version":"2.10.0","max_payload":1048576,"proto":1,"headers":true}\r\n'
CONVERSATION = [
    (">", INFO),
    ("<", None),
    (">", b"PONG\r\n"),
    ("<", None),
    (">", b"PONG\r\n"),
    ("<", None),
    (">", b"MSG room.1 1 7\r\nhello 1\r\n"),
]


async def factory() -> Any:
    async def ignored(error: Exception) -> None:
        pass

    client = await nats.connect(
        "nats://127.0.0.1:4222", max_reconnect_attempts=2, reconnect_time_wait=0.1, connect_timeout=2, error_cb=ignored
    )
    try:
        subscription = await client.subscribe("room.1")
        await client.flush(timeout=2)
        await client.publish("room.1", b"hello 1")
        message = await subscription.next_msg(timeout=2)
        return message.data
    finally:
        await client.close()
