"""aiocoap over UDP: blocks of a large resource both ways, repeated until they are acknowledged; one that is missing."""

import asyncio

import aiocoap
from aiocoap import resource

LIBRARIES = ("aiocoap",)
LONG = True
DATA = bytes(range(256)) * 400


class Reverse(resource.Resource):
    async def render_put(self, request):
        return aiocoap.Message(payload=request.payload[::-1])


async def serve():
    site = resource.Site()
    site.add_resource(["reverse"], Reverse())
    await aiocoap.Context.create_server_context(site, bind=("::", None))
    await asyncio.Event().wait()


async def ask(host):
    context = await aiocoap.Context.create_client_context()
    message = aiocoap.Message(code=aiocoap.PUT, uri=f"coap://{host}/reverse", payload=DATA)
    assert (await context.request(message).response).payload == DATA[::-1]
    missing = aiocoap.Message(code=aiocoap.GET, uri=f"coap://{host}/missing")
    answer = await context.request(missing).response
    await context.shutdown()
    return str(answer.code)


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve)
    world.sleep(0.1)
    assert client.run(ask, "server").result(timeout=300) == "4.04 Not Found"
