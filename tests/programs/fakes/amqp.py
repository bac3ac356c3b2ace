"""A tiny AMQP 0-9-1 broker, default exchange only: declare (passive is refused), publish, confirm, get, consume."""

import asyncio

from pamqp import body, commands, frame, header

BASIC = commands.Basic


class Session:
    """One connection; the queues (messages and consumers) are shared by all."""

    def __init__(self, writer, queues):
        self.writer = writer
        self.queues = queues
        self.confirming = set()
        self.tags = {}
        self.publishing = {}

    def send(self, channel, *frames):
        self.writer.writelines(frame.marshal(each, channel) for each in frames)

    def tag(self, channel):
        self.tags[channel] = self.tags.get(channel, 0) + 1
        return self.tags[channel]

    def pump(self, name):
        """Hand the messages of a queue to its consumers in turn."""
        messages, consumers = self.queues[name]
        while messages and consumers:
            consumers.append(consumers.pop(0))
            session, channel, consumer = consumers[-1]
            deliver = BASIC.Deliver(consumer, session.tag(channel), False, "", name)
            session.send(channel, deliver, *messages.pop(0))

    def content(self, channel, part):
        parts = self.publishing[channel]
        parts.append(part)
        if sum(len(each.value) for each in parts[2:]) < parts[1].body_size:
            return
        name = parts[0].routing_key
        self.queues.setdefault(name, ([], []))[0].append(parts[1:])
        if channel in self.confirming:
            self.send(channel, BASIC.Ack(self.tag((channel, "confirms"))))
        self.pump(name)

    def method(self, channel, method):
        match method:
            case BASIC.Publish():
                self.publishing[channel] = [method]
            case commands.Queue.Declare(passive=True):
                self.send(channel, commands.Channel.Close(404, "NOT_FOUND", 50, 10))
            case commands.Queue.Declare(queue=name):
                self.queues.setdefault(name, ([], []))
                self.send(channel, commands.Queue.DeclareOk(name, 0, 0))
            case commands.Confirm.Select():
                self.confirming.add(channel)
                self.send(channel, commands.Confirm.SelectOk())
            case BASIC.Get(queue=name):
                messages = self.queues[name][0]
                found = (BASIC.GetOk(self.tag(channel), False, "", name, 0), *messages.pop(0)) if messages else ()
                self.send(channel, *(found or (BASIC.GetEmpty(),)))
            case BASIC.Consume(queue=name, consumer_tag=consumer):
                self.queues[name][1].append((self, channel, consumer))
                self.send(channel, BASIC.ConsumeOk(consumer))
                self.pump(name)
            case BASIC.Cancel(consumer_tag=consumer):
                self.leave(lambda each: each[2] == consumer)
                self.send(channel, BASIC.CancelOk(consumer))
            case commands.Connection.StartOk():
                self.send(0, commands.Connection.Tune(100, 131_072, 0))
            case BASIC.Ack() | commands.Connection.TuneOk() | commands.Channel.CloseOk():
                pass
            case _:  # Open, Close, Qos: the name of the answer says it all
                self.send(
                    channel, getattr(commands, method.name.split(".")[0]).__dict__[type(method).__name__ + "Ok"]()
                )

    def leave(self, wanted):
        for _, consumers in self.queues.values():
            consumers[:] = [each for each in consumers if each[0] is not self or not wanted(each)]


async def serve(port):
    queues = {}

    async def talk(reader, writer):
        session = Session(writer, queues)
        await reader.readexactly(8)
        session.send(
            0, commands.Connection.Start(0, 9, {"capabilities": {"publisher_confirms": True, "basic.nack": True}})
        )
        while head := await reader.read(1):
            head += await reader.readexactly(6)
            data = head + await reader.readexactly(int.from_bytes(head[3:], "big") + 1)
            _, channel, part = frame.unmarshal(data)
            if isinstance(part, body.ContentBody | header.ContentHeader):
                session.content(channel, part)
            elif isinstance(part, commands.base.Frame):
                session.method(channel, part)
            await writer.drain()
        session.leave(lambda each: True)
        writer.close()

    async with await asyncio.start_server(talk, None, port) as server:
        await server.serve_forever()
