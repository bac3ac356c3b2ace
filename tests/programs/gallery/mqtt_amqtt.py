"""The broker amqtt with aiomqtt and with paho-mqtt's thread as clients: all three qualities; a refused login."""

import asyncio
import threading

import aiomqtt
import paho.mqtt.client as paho
from amqtt.broker import Broker

LIBRARIES = ("amqtt", "aiomqtt", "paho-mqtt")
DATA = bytes(range(256)) * 600
CONFIG = {
    "listeners": {"default": {"type": "tcp", "bind": "0.0.0.0:1883"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": False}},
}


async def serve():
    broker = Broker(CONFIG)
    await broker.start()
    await asyncio.sleep(50)
    await broker.shutdown()


async def asynchronous(host):
    async with aiomqtt.Client(host, username="a", identifier="asynchronous") as client:
        for quality in (0, 1, 2):
            await client.subscribe(f"data/{quality}", qos=quality)
            await client.publish(f"data/{quality}", DATA, qos=quality)
            message = await anext(client.messages)
            assert (message.topic.value, message.payload) == (f"data/{quality}", DATA)
        await client.subscribe("to/asyncio", qos=1)
        message = await anext(client.messages)
        await client.publish("to/thread", message.payload[::-1], qos=1)
    try:
        async with aiomqtt.Client(host, identifier="nobody"):
            pass
    except aiomqtt.MqttError as error:
        return str(error)


def threaded(host):
    received, subscribed = [], threading.Event()
    answered = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="threaded")
    client.username_pw_set("b")
    client.on_connect = lambda client, *_: client.subscribe("to/thread", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda client, _, message: (received.append(message.payload), answered.set())
    client.connect(host)
    client.loop_start()
    assert subscribed.wait(10)
    client.publish("to/asyncio", DATA, qos=1, retain=True).wait_for_publish(20)
    assert answered.wait(20)
    client.disconnect()
    client.loop_stop()
    return received == [DATA[::-1]]


def scenario(world):
    server, client = world.host("server"), world.host("client")
    served = server.run(serve)
    world.sleep(0.1)
    jobs = [client.run(threaded, "server"), client.run(asynchronous, "server")]
    assert jobs[0].result(timeout=45)
    assert "Not authorized" in jobs[1].result(timeout=45)
    served.result(timeout=60)
