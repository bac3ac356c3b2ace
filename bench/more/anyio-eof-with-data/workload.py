"""Clients send a text, end their side, and read it back in capitals; the server reads it to its end first.

Invariant: the server finds the end of each text.
"""
import sys

import anyio


async def handle(stream):
    async with stream:
        text = b""
        while True:
            try:
                text += await stream.receive()
            except anyio.EndOfStream:
                break
        await stream.send(text.upper())


async def ask(port, text):
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(text)
        await stream.send_eof()
        answer = b""
        while True:
            try:
                answer += await stream.receive()
            except anyio.EndOfStream:
                return answer


async def main():
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        for number in range(10):
            text = b"text number %d" % number
            with anyio.move_on_after(30) as scope:
                answer = await ask(port, text)
                assert answer == text.upper(), answer
            assert not scope.cancelled_caught, f"no answer to {text.decode()!r}"
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(anyio.run(main))
