"""aio-pika and pika's blocking connection against a small fake of RabbitMQ: publish, get, consume; no such queue."""

import aio_pika
import pika
from aiormq.exceptions import ChannelNotFoundEntity

from tests.programs.fakes.amqp import serve

LIBRARIES = ("aio-pika", "pika")
DATA = bytes(range(256)) * 600


async def asynchronous(host):
    async with await aio_pika.connect(f"amqp://guest:guest@{host}/") as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        asked, answers = await channel.declare_queue("asked"), await channel.declare_queue("answers")
        async with asked.iterator() as messages:
            async for message in messages:
                async with message.process():
                    answer = aio_pika.Message(message.body[::-1], correlation_id=message.correlation_id)
                    await channel.default_exchange.publish(answer, answers.name)
                if message.correlation_id == "last":
                    break
        try:
            await channel.declare_queue("nowhere", passive=True)
        except ChannelNotFoundEntity as error:
            return str(error)


def blocking(host):
    with pika.BlockingConnection(pika.ConnectionParameters(host)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("asked")
        channel.queue_declare("answers")
        assert channel.basic_get("answers") == (None, None, None)
        for name in ("first", "last"):
            channel.basic_publish("", "asked", DATA, pika.BasicProperties(correlation_id=name))
        found = []
        for method, properties, body in channel.consume("answers", inactivity_timeout=20):
            channel.basic_ack(method.delivery_tag)
            found.append((properties.correlation_id, body == DATA[::-1]))
            if properties.correlation_id == "last":
                break
        channel.cancel()
        assert found == [("first", True), ("last", True)]
        try:
            channel.queue_declare("nowhere", passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 5672)
    world.sleep(0.1)
    jobs = [client.run(blocking, "server"), client.run(asynchronous, "server")]
    assert jobs[0].result(timeout=60) == 404
    assert "NOT_FOUND" in jobs[1].result(timeout=60)
