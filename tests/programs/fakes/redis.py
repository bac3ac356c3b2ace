"""A tiny Redis: SET, GET, DEL, INCR, PUBLISH, SUBSCRIBE, a pretended list, and +OK for anything else; RESP 2."""

import asyncio


def bulk(data):
    return b"$-1\r\n" if data is None else b"$%d\r\n%b\r\n" % (len(data), data)


def array(*items):
    return b"*%d\r\n" % len(items) + b"".join(items)


class Redis:
    """One store and its subscribers."""

    def __init__(self):
        self.store = {}
        self.subscribers = {}

    def answer(self, writer, name, *args):
        match name.upper(), *args:
            case b"SET", key, value, *_:
                self.store[key] = value
                return b"+OK\r\n"
            case b"GET", b"list":
                return b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
            case b"GET", key:
                return bulk(self.store.get(key))
            case b"DEL", *keys:
                return b":%d\r\n" % sum(self.store.pop(key, None) is not None for key in keys)
            case (b"INCR", key) | (b"INCRBY", key, _):
                self.store[key] = b"%d" % (int(self.store.get(key, 0)) + 1)
                return b":%b\r\n" % self.store[key]
            case b"SUBSCRIBE", channel:
                self.subscribers.setdefault(channel, []).append(writer)
                return array(bulk(b"subscribe"), bulk(channel), b":1\r\n")
            case b"UNSUBSCRIBE", channel:
                self.subscribers[channel].remove(writer)
                return array(bulk(b"unsubscribe"), bulk(channel), b":0\r\n")
            case b"PUBLISH", channel, data:
                listening = self.subscribers.get(channel, [])
                for each in listening:
                    each.write(array(bulk(b"message"), bulk(channel), bulk(data)))
                return b":%d\r\n" % len(listening)
            case b"HELLO", *_:
                return b"-ERR unknown command 'HELLO'\r\n"
        return b"+OK\r\n"

    async def session(self, reader, writer):
        while header := await reader.readline():
            args = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                args.append((await reader.readexactly(size + 2))[:-2])
            writer.write(self.answer(writer, *args))
            await writer.drain()
        for listening in self.subscribers.values():
            if writer in listening:
                listening.remove(writer)
        writer.close()


async def serve(port):
    async with await asyncio.start_server(Redis().session, None, port) as server:
        await server.serve_forever()
