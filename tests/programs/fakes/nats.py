"""A tiny NATS server: PING, SUB of exact names or with a last `>` or `*`, UNSUB, PUB; users are turned away."""

import asyncio
import json

INFO = {"server_id": "fake", "version": "2.10.0", "proto": 1, "max_payload": 1 << 20, "headers": True}


def wants(pattern, subject):
    return subject.startswith(pattern[:-1]) if pattern.endswith((b".>", b".*")) else subject == pattern


async def serve(port):
    subscribers = []

    async def talk(reader, writer):
        writer.write(b"INFO " + json.dumps(INFO).encode() + b" \r\n")
        while words := (await reader.readline()).split():
            verb = words[0].upper()
            if verb == b"PING":
                writer.write(b"PONG\r\n")
            elif verb == b"SUB":
                subscribers.append((words[1], words[-1], writer))
            elif verb == b"UNSUB" and len(words) == 2:
                subscribers[:] = [each for each in subscribers if each[1:] != (words[1], writer)]
            elif verb == b"PUB":
                payload = await reader.readexactly(int(words[-1]) + 2)
                reply = words[2] + b" " if len(words) == 4 else b""
                for pattern, number, other in subscribers:
                    if wants(pattern, words[1]):
                        other.write(b"MSG %b %b %b%b\r\n%b" % (words[1], number, reply, words[-1], payload))
                        await other.drain()
            elif verb == b"CONNECT" and b'"user"' in b"".join(words):
                writer.write(b"-ERR 'Authorization Violation'\r\n")
                break
        subscribers[:] = [each for each in subscribers if each[2] is not writer]
        writer.close()

    async with await asyncio.start_server(talk, None, port) as server:
        await server.serve_forever()
